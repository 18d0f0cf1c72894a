"""The client library can be loaded by several threads at once, whatever each of them begins with."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "provision" / "kafka"
MODULES = sorted(ROOM.glob("*.py"))
# Runs in a process of its own, in which nothing is loaded yet but what every program begins with.
LOADS_AT_ONCE = """
import importlib, json, sys, threading
import provision.environment
barrier, failed = threading.Barrier(len(sys.argv) - 1), []
def load(name):
    barrier.wait()
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(repr(error))
threads = [threading.Thread(target=load, args=(name,)) for name in sys.argv[1:]]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps(failed))
"""


def blocks(tree: ast.AST) -> list[list[ast.stmt]]:
    """Every list of statements that run one after the other."""
    found = [getattr(node, name, None) for node in ast.walk(tree) for name in ("body", "orelse", "finalbody")]
    return [block for block in found if isinstance(block, list)]


def packages(statement: ast.stmt) -> list[str]:
    """The modules that a statement imports from, as it names them."""
    match statement:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
    return []


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.stem)
def test_the_package_of_the_library_is_imported_before_its_modules(module: Path) -> None:
    for block in blocks(ast.parse(module.read_text())):
        names = [name for statement in block for name in packages(statement) if name.partition(".")[0] == "kafka"]
        assert not names or names[0] == "kafka", f"{module.name} begins with {names[0]}"


@pytest.mark.parametrize("first", range(3))
def test_modules_are_loaded_by_threads_at_once(first: int) -> None:
    names = [f"provision.kafka.{module.stem}" for module in MODULES if module.stem != "__init__"]
    turned = names[first:] + names[:first]
    done = subprocess.run(
        [sys.executable, "-c", LOADS_AT_ONCE, *turned], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == []
