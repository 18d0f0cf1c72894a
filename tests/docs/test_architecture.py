"""The architecture against the code: its map is whole, and what it names is there."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.docs.reading import ARCHITECTURE, DECISIONS, ROOT, blocks, codes, rows, section, without_code

PACKAGE = ROOT / "provision"
TEXT = ARCHITECTURE.read_text(encoding="utf-8")
NAMED = dict.fromkeys(codes(without_code(TEXT)))
"""All that is named in running text and tables, once."""

PACKAGES = sorted(file.parent for file in PACKAGE.rglob("__init__.py") if file.parent != PACKAGE)
MODULES = sorted(PACKAGE.glob("*.py"))
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]*)+|[\w-]+\.(?:py|toml)")
_PLACEHOLDER = "NAME"
_NAME_IN_CODE = re.compile(r"_[a-z_]+|_?[A-Z][A-Za-z_]+(?:\.[a-z_]+)?")
_OF_PYTHON = {"KeyboardInterrupt", "SIGTERM", "SIGHUP", "SIGKILL"}
_OF_KAFKA = {"INTERNAL", "HOST"}


def paths() -> list[str]:
    return [name for name in NAMED if _PATH.fullmatch(name)]


@cache
def sources() -> str:
    code = [*PACKAGE.rglob("*.py"), *(ROOT / "scripts").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    return "\n".join(file.read_text(encoding="utf-8") for file in code if not file.is_relative_to(ROOT / "tests/docs"))


@cache
def project() -> Mapping[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def contracts(kind: str) -> list[Mapping[str, Any]]:
    return [one for one in project()["tool"]["importlinter"]["contracts"] if one["type"] == kind]


# -- the map ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES, ids=lambda directory: str(directory.relative_to(PACKAGE)))
def test_every_package_is_named(package: Path) -> None:
    assert any(name.startswith(f"{package.relative_to(PACKAGE)}/") for name in NAMED)


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.stem)
def test_every_module_that_is_in_no_package_is_named(module: Path) -> None:
    assert module.name in NAMED


def test_it_names_paths() -> None:
    assert {"spec/loader.py", "runtime/docker/", "tests/specs/lint/NAME.yaml", "pyproject.toml"} <= set(paths())


@pytest.mark.parametrize("path", paths())
def test_every_path_that_is_named_exists(path: str) -> None:
    """Of paths with a placeholder one like it does."""
    form = path.rstrip("/").replace(_PLACEHOLDER, "*")
    found = [one for root in (PACKAGE, ROOT) for one in root.glob(form)]
    assert found
    assert not path.endswith("/") or all(one.is_dir() for one in found)


@pytest.mark.parametrize("name", [name for name in NAMED if _NAME_IN_CODE.fullmatch(name)])
def test_every_name_of_the_code_is_one(name: str) -> None:
    """Classes, constants and what is private: `Layout.leased_ports`, `RULES`, `_context`."""
    if name in _OF_PYTHON | _OF_KAFKA | {_PLACEHOLDER}:
        return
    for part in name.split("."):
        assert re.search(rf"(?:\bclass |\bdef |^ *){re.escape(part)}\b", sources(), re.MULTILINE), part


# -- the layers -------------------------------------------------------------------------------------------------------


def test_the_layers_are_those_that_are_checked() -> None:
    (contract,) = contracts("layers")
    assert "\n".join(contract["layers"]) + "\n" in blocks(TEXT, "")


def test_every_layer_has_a_row() -> None:
    (contract,) = contracts("layers")
    layers = [name for line in contract["layers"] for name in line.split(" | ")]
    described = [name.rstrip("/").removesuffix(".py") for name in rows(section(ARCHITECTURE, "## Layers"))]
    assert set(layers) <= set(described)


def test_every_protected_library_is_told_with_who_may_import_it() -> None:
    table = rows(section(ARCHITECTURE, "## Layers"))
    for contract in contracts("protected"):
        importers = [one.removeprefix("provision.").replace(".", "/") for one in contract["allowed_importers"]]
        places = ", ".join(f"`{place}/`" for place in importers)
        for library in contract["protected_modules"]:
            assert table[library].endswith(f"| {places} |")


def test_what_decides_is_told_with_what_it_may_not_import() -> None:
    (contract,) = contracts("forbidden")
    (told,) = (line for line in section(ARCHITECTURE, "## Layers").split("\n\n") if line.startswith("In addition"))
    named = set(codes(told))
    assert {module.removeprefix("provision.") for module in contract["source_modules"]} <= named
    of_others = {library for one in contracts("protected") for library in one["protected_modules"]}
    assert set(contract["forbidden_modules"]) <= named | of_others


# -- the example ------------------------------------------------------------------------------------------------------


def test_it_follows_an_environment_that_exists() -> None:
    followed = (ROOT / "environments" / "three-brokers.yaml").read_text(encoding="utf-8")
    (shown,) = blocks(TEXT, "yaml")
    assert followed.endswith(shown)


# -- the decisions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda file: file.stem[:4])
def test_every_decision_is_numbered_and_linked_by_its_title(decision: Path) -> None:
    number = decision.stem[:4]
    title, _, _ = decision.read_text(encoding="utf-8").removeprefix(f"# {number}: ").partition("\n")
    assert f"| [{number}](decisions/{decision.name}) | {title} |" in section(ARCHITECTURE, "## Decisions")


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda file: file.stem[:4])
def test_every_decision_has_the_same_parts(decision: Path) -> None:
    assert re.findall(r"^## (.+)$", decision.read_text(encoding="utf-8"), re.MULTILINE) == [
        "Context",
        "Decision",
        "Consequences",
    ]


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(file.stem[:4]) for file in DECISIONS] == list(range(1, len(DECISIONS) + 1))
