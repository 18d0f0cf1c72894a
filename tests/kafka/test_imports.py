"""The client library can be loaded by several threads at once, whatever each of them begins with."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "provision" / "kafka"
FIRST = "provision.kafka.library"
MODULES = [module for module in sorted(ROOM.glob("*.py")) if module.stem != "library"]
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
    nodes = [node for node in ast.walk(tree) if not _for_types_only(node)]
    found = [getattr(node, name, None) for node in nodes for name in ("body", "orelse", "finalbody")]
    return [block for block in found if isinstance(block, list)]


def _for_types_only(node: ast.AST) -> bool:
    """Whether it is `if TYPE_CHECKING`, which never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def packages(statement: ast.stmt) -> list[str]:
    """The modules that a statement imports from, as it names them."""
    match statement:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
    return []


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.stem)
def test_the_library_is_put_in_place_before_its_modules_are_imported(module: Path) -> None:
    first, *others = blocks(ast.parse(module.read_text()))
    at_once = [name for statement in first for name in packages(statement)]
    for block in (first, *(others if FIRST not in at_once else ())):  # what a function imports comes after that
        names = [name for statement in block for name in packages(statement)]
        of_it = [name for name in names if name == FIRST or name.partition(".")[0] == "kafka"]
        assert not of_it or of_it[0] in (FIRST, "kafka"), f"{module.name} begins with {of_it[0]}"


ANYBODY = {
    "from the package": "from kafka import KafkaConsumer; print(KafkaConsumer.__name__)",
    "of the package": "import kafka; print(kafka.KafkaConsumer.__name__)",
    "of a module": "import kafka.consumer.group; print(kafka.consumer.group.KafkaConsumer.__name__)",
    "all of it": "from kafka import *; print(KafkaConsumer.__name__)",
    "loaded before": "",
}


@pytest.mark.parametrize("statement", ANYBODY.values(), ids=list(ANYBODY))
def test_a_program_that_uses_the_library_itself_finds_all_of_it(statement: str) -> None:
    before = "" if statement else "import kafka; "
    code = f"{before}import provision.kafka.readiness; {statement or ANYBODY['of the package']}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("KafkaConsumer\n", "")


def test_what_only_asks_brokers_does_not_load_the_librarys_clients() -> None:
    loaded = "print('kafka.admin.client' in sys.modules)"
    code = f"import sys, provision.kafka.library; {loaded}; import kafka; hasattr(kafka, 'nothing'); {loaded}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["False", "True"]


@pytest.mark.parametrize("first", range(3))
def test_modules_are_loaded_by_threads_at_once(first: int) -> None:
    names = [f"provision.kafka.{module.stem}" for module in MODULES if module.stem != "__init__"]
    turned = names[first:] + names[:first]
    done = subprocess.run(
        [sys.executable, "-c", LOADS_AT_ONCE, *turned], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == []
