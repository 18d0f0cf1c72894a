"""What holds on systems that are not at hand: Windows paths survive the way into Java's files."""

import ast
from pathlib import Path, PureWindowsPath

import pytest

from provision.cluster import properties
from provision.cluster.layout import LocalLayout
from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.spec.model import EnvironmentSpec

ROOT = Path(__file__).parent.parent.parent
HOME = PureWindowsPath(r"C:\Users\Some One\AppData\Local\provision")

# Names that exist on POSIX systems alone; getuid is asked for with hasattr where files belong to a container's user.
_POSIX_ONLY = {"fork", "setsid", "killpg", "getpgid", "start_new_session", "fcntl", "pwd", "grp", "SIGKILL"}


def test_windows_paths_arrive_in_java_as_they_are() -> None:
    directory = (HOME / "environments" / "orders").as_posix()
    layout = LocalLayout("kafka 3.9.1", (HOME / "cache" / "3.9.1").as_posix(), directory, directory)
    ports = {"zookeeper-1": 2181, "broker-1": 9092}
    cluster = resolve(EnvironmentSpec(name="orders"), layout, ports, "C:/work")
    files = {(file.node, file.name): properties.parse(file.text) for file in render(cluster) if "json" not in file.name}
    broker = files["broker-1", "server.properties"]
    data = PureWindowsPath(broker["log.dirs"])
    assert data == HOME / "environments" / "orders" / "broker-1" / "data"
    assert data.is_absolute()
    log = files["broker-1", "log4j.properties"]["log4j.appender.file.File"]
    assert log == "log/broker-1.log"  # in the node's own directory, in which it is started
    zookeeper = files["zookeeper-1", "zookeeper.properties"]
    assert PureWindowsPath(zookeeper["dataDir"]) == HOME / "environments" / "orders" / "zookeeper-1" / "data"


def test_backslashes_are_escaped_wherever_they_come_from() -> None:
    layout = LocalLayout("kafka 3.9.1", "libs", str(HOME), str(HOME))
    cluster = resolve(EnvironmentSpec(name="orders"), layout, {"zookeeper-1": 1, "broker-1": 2}, "/")
    broker = next(file for file in render(cluster) if file.name == "server.properties")
    assert r"log.dirs=C:\\Users\\Some One" in broker.text
    assert properties.parse(broker.text)["log.dirs"] == rf"{HOME}/broker-1/data"


def test_the_class_path_has_one_entry_and_so_no_separator() -> None:
    layout = LocalLayout("kafka 3.9.1", (HOME / "cache").as_posix(), "C:/e", "C:/e")
    cluster = resolve(EnvironmentSpec(name="orders"), layout, {"zookeeper-1": 1, "broker-1": 2}, "/")
    arguments = cluster.brokers[0].java_args
    class_path = arguments[arguments.index("-cp") + 1]
    assert class_path == f"{(HOME / 'cache').as_posix()}/*"
    assert ";" not in class_path


def names_in(source: str) -> set[str]:
    """All that a module names: attributes, names, imports, and arguments, given as such or as keys of a mapping."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        found |= {str(getattr(node, part)) for part in ("attr", "id", "arg", "name") if hasattr(node, part)}
        if isinstance(node, ast.Dict):
            found |= {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
    return found


def test_calls_of_one_system_stand_in_one_module() -> None:
    modules = {file.relative_to(ROOT).as_posix(): file for file in (ROOT / "provision").rglob("*.py")}
    used = {name: names_in(file.read_text()) & _POSIX_ONLY for name, file in modules.items()}
    assert {name: those for name, those in used.items() if those} == {
        "provision/cli/child.py": {"killpg"},
        "provision/home/locks.py": {"fcntl"},
        "provision/testing/use.py": {"fcntl"},
        "provision/common/sessions.py": {"start_new_session"},
    }


@pytest.mark.parametrize(
    "source",
    [
        "import fcntl",
        "from os import fork",
        "os.fork()",
        "run(start_new_session=True)",
        "run(**{'start_new_session': 1})",
    ],
)
def test_a_call_of_one_system_would_be_seen(source: str) -> None:
    assert names_in(source) & _POSIX_ONLY
