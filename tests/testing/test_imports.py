"""What the plugin does, anybody can do: it uses the public API, and beside it nothing that has to do with Kafka."""

import ast
from pathlib import Path

import pytest

import provision

PACKAGE = Path(provision.__file__).parent
MODULES = [*sorted(PACKAGE.glob("pytest_*.py")), *sorted((PACKAGE / "testing").glob("*.py"))]
OF_ITSELF = ("provision.testing", "provision.pytest_run")
BESIDE = ("provision.common", "provision.home")
"""Files, locks and clocks, and where this machine keeps them."""


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_it_needs_no_private_import(module: Path) -> None:
    nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
    plain = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    assert not [name for name in plain if name.partition(".")[0] == "provision"]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "provision":
            names = {name.name for name in node.names}
            allowed = node.module != "provision" and str(node.module).startswith((*OF_ITSELF, *BESIDE))
            assert allowed or (node.module == "provision" and names <= set(provision.__all__)), ast.unparse(node)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_it_uses_nothing_private_of_what_it_gets(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    private = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    ]
    assert private == []
