"""Every command that takes `-o`, in every format: each says the same, and can be read back."""

import json
from pathlib import Path

import yaml

from tests.cli.program import Case, results
from tests.cli.test_help import COMMANDS
from tests.cli.world import LEAVES, line_of


def choices(path: tuple[str, ...]) -> list[str]:
    """What its `--output` takes."""
    options = [one for one in COMMANDS[path].params if "--output" in one.opts]
    return [str(choice) for option in options for choice in option.type_descriptor.choices]


FORMATS = [(path, choice) for path in LEAVES for choice in choices(path)]


def test_every_format_of_every_command(tmp_path: Path) -> None:
    assert {path for path, _ in FORMATS} >= {("plan",), ("status",), ("topics", "apply"), ("consume",)}
    lines = [line_of(path) for path, _ in FORMATS]
    cases = [
        Case([*path, "-o", choice, *line[len(path) :]]) for (path, choice), line in zip(FORMATS, lines, strict=True)
    ]
    shown = dict(zip(FORMATS, results(cases, tmp_path), strict=True))
    assert {form: one.err for form, one in shown.items() if one.code or "Traceback" in one.err} == {}
    for path in {path for path, _ in FORMATS} - {("consume",)}:
        as_json, as_yaml = json.loads(shown[path, "json"].out), yaml.safe_load(shown[path, "yaml"].out)
        assert isinstance(as_json, dict | list)
        assert _without_times(as_yaml) == _without_times(as_json)
    assert all(json.loads(line) for line in shown[("consume",), "json"].out.splitlines())


def _without_times(value: object) -> object:
    """Without what differs from one moment to the next."""
    if isinstance(value, list):
        return [_without_times(one) for one in value]
    return (
        {name: one for name, one in value.items() if name not in ("timings", "age_s")}
        if isinstance(value, dict)
        else value
    )
