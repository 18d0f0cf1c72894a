"""Whether a cluster is still what its description says depends on what that names, too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from provision.spec.model import EnvironmentSpec
from provision.spec.named_contents import digest_of_named

AGENT = {"java": {"agents": [{"jar": "agent.jar", "files": ["agent.yaml"]}]}}
AUTHORITY = {"certificates": {"authority": {"key": "ca.key", "certificate": "ca.pem"}}}
NAMED: list[tuple[dict[str, Any], str, str]] = [
    ({"topics": [{"name": "a"}, {"name": "t", "records": "records.txt"}]}, "topics.records.file", "records.txt"),
    ({"templates": "mine"}, "templates", "mine/server.properties.j2"),
    ({"templates": "mine"}, "templates", "mine/more/log4j.properties.j2"),
    ({"users": [{"name": "a"}, {"name": "b", "password": {"file": "b.txt"}}]}, "users.password.file", "b.txt"),
    ({"users": [{"name": "a", "password": {"env": "TOLD"}}]}, "users.password.env", "$TOLD"),
    (AUTHORITY, "certificates.authority.key", "ca.key"),
    (AUTHORITY, "certificates.authority.certificate", "ca.pem"),
    *(
        ({section: AGENT}, f"{section}.java.agents.{key}", file)
        for section in ("brokers", "controllers", "zookeeper")
        for key, file in (("jar", "agent.jar"), ("files", "agent.yaml"))
    ),
    ({"kafka": {"distribution": "kafka"}}, "kafka.distribution", "kafka/libs/kafka.jar"),
]


@pytest.mark.parametrize(("said", "key", "named"), NAMED, ids=[f"{key}-{named}" for _, key, named in NAMED])
def test_a_change_of_what_is_named_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], key: str, named: str
) -> None:
    spec = EnvironmentSpec.model_validate({"name": "any", **said})

    def digest(content: str) -> str:
        if named.startswith("$"):
            monkeypatch.setenv(named[1:], content)
        else:
            (tmp_path / named).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / named).write_text(content)
        return digest_of_named(spec, tmp_path)

    digests = [digest_of_named(spec, tmp_path), digest("old"), digest("another"), digest_of_named(spec, tmp_path)]
    assert len(set(digests)) == 3
    assert digests[2] == digests[3]


def test_a_template_that_is_renamed_is_seen(tmp_path: Path) -> None:
    spec = EnvironmentSpec(name="any", templates=".")
    (tmp_path / "one.j2").write_text("same")
    before = digest_of_named(spec, tmp_path)
    (tmp_path / "one.j2").rename(tmp_path / "other.j2")
    assert digest_of_named(spec, tmp_path) != before


def test_what_names_nothing_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert digest_of_named(EnvironmentSpec(name="any", storage="data"), tmp_path) == ""


def test_every_key_that_names_something_is_read() -> None:
    assert set(_naming(EnvironmentSpec)) - {"storage"} == {key for _, key, _ in NAMED}


_VALIDATORS = {"_path", "_file", "_variable", "path_of_secret"}
"""What checks keys that name files, directories and variables."""


def _naming(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        annotations = list(_parts(field.annotation))
        for part in [*annotations, *field.metadata]:
            if getattr(getattr(part, "func", None), "__name__", "") in _VALIDATORS:
                yield f"{above}{name}"
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _naming(part, f"{above}{name}.")


def _parts(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 types have no type of their own
    yield annotation
    for part in (*get_args(annotation), *getattr(annotation, "__metadata__", ())):
        yield from _parts(part)
