"""Paths with characters that Kafka, Java, a logging library or a properties file gives a meaning.

Each either arrives as it is, or is refused by name before anything starts.
"""

import os
from pathlib import Path
from urllib.parse import unquote

import pytest

from provision.catalogue.versions import KafkaVersion
from provision.cluster.model import Cluster, Node
from provision.cluster.properties import parse
from provision.cluster.render import render
from provision.cluster.resolve import resolve_without_ports
from provision.errors import InvalidEnvironment, UsageError
from provision.home.place import Home
from provision.runtime import tool_logging
from provision.runtime.process.java import variables
from provision.runtime.process.layout import local_layout
from provision.spec.model import EnvironmentSpec

ODD = [
    *(
        "a#b",
        "a b",
        " a",
        "a ",
        "a%41b",
        "a%d",
        "a%i",
        "a%",
        "a$b",
        "$${a",
        "{}",
        "a=b",
        "a:b",
        "a;b",
        "a!",
        "a?b",
        "a&b",
    ),
    *(
        "a+b",
        "a*",
        "*",
        "~",
        "@a",
        "a'b",
        'a"b',
        "a\\b",
        "a\\tb",
        "a\\",
        "a|b",
        "dé☃",
        "\N{GRINNING FACE}",
        "-a",
        "[a]",
    ),
]
"""Names of directories that can be used for everything but, partly, for data and jars."""


def _cluster(base: str, home: Path, cache: Path | None = None, **sections: object) -> Cluster:
    spec = EnvironmentSpec.model_validate({"name": "orders", "runtime": "process", **sections})
    return resolve_without_ports(spec, local_layout(spec, base, Home.at(home, cache or Path("/cache"))), base)


def _settings(cluster: Cluster, node: Node, name: str) -> dict[str, str]:
    return parse(next(file.text for file in render(cluster) if (file.node, file.name) == (node.name, name)))


@pytest.mark.parametrize("version", ["3.9.1", "4.3.0"])
@pytest.mark.parametrize("name", [name for name in ODD if "${" not in name])
def test_a_home_of_any_name_is_used_as_it_is(name: str, version: str) -> None:
    cluster = _cluster("/", Path("/home", name), kafka={"version": version})
    for node in cluster.nodes:
        home = f"/home/{name}/environments/orders/{node.name}"
        main = node.java_args[-1]
        assert main.startswith(f"{home}/config/")
        data = _settings(cluster, node, main.rpartition("/")[2])
        assert data.get("log.dirs", data.get("dataDir")) == f"{home}/data"
        assert f"-Djava.io.tmpdir={home}/tmp" in node.java_args
        (logging,) = [option.partition("=")[2] for option in node.java_args if option.startswith("-Dlog4j")]
        scheme, _, path = logging.partition(":")
        assert (scheme, unquote(path).rpartition("/")[0]) == ("file", f"{home}/config")
        assert not set(path) & set("#?, +;$\\")
        assert path.isascii()


@pytest.mark.parametrize("version", ["3.9.1", "4.3.0"])
def test_logging_is_told_no_path_it_could_misread(version: str) -> None:
    """Logging libraries know `${}` and `%` in a file's name, and no escape for all of it: the name has neither."""
    cluster = _cluster("/", Path("/home/$a%i"), kafka={"version": version})
    for node in cluster.nodes:
        name = "log4j.properties" if version < "4" else "log4j2.properties"
        logging = _settings(cluster, node, name)
        key = "log4j.appender.file.File" if version < "4" else "appender.out.fileName"
        assert logging[key] == f"log/{node.name}.log"


@pytest.mark.parametrize("name", ODD)
def test_tools_find_their_logging_below_any_name(name: str) -> None:
    for option in tool_logging.options(f"/home/{name}"):
        assert unquote(option.partition("=file:")[2]).startswith(f"/home/{name}/tools-")


@pytest.mark.parametrize("name", [name for name in ODD if "${" not in name])
def test_data_are_where_the_file_says(name: str) -> None:
    cluster = _cluster("/srv", Path("/home/me"), storage=f"./{name}")
    assert _settings(cluster, cluster.brokers[0], "server.properties")["log.dirs"] == f"/srv/{name}/broker-1/data"


COMMA, REFERENCE = "Kafka takes a comma for the end of one directory", "Kafka takes ${ for the start of a reference"
NO_TEXT, CONTROL = "its name is not UTF-8 text", "it contains a line break or another control character"
BAD_DATA = [
    *(("a,b", COMMA), (",", COMMA), ("a, b", COMMA), ("${a}", REFERENCE), ("$${a", REFERENCE)),
    *(("a\tb", CONTROL), ("a\nb", CONTROL), ("a\rb", CONTROL), ("a\x00b", CONTROL), ("a\x7fb", CONTROL)),
]


@pytest.mark.parametrize(("name", "reason"), [*BAD_DATA, ("a\udcff", NO_TEXT)])
def test_a_directory_that_kafka_would_misread_is_refused(name: str, reason: str) -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        _cluster(f"/srv/{name}", Path("/home/me"), storage="./data")
    (problem,) = caught.value.problems
    assert problem.path == "storage"
    assert problem.message.startswith(f"it cannot be {f'/srv/{name}/data'!r}: {reason}")
    assert problem.hint == "use a directory with a plainer path"


@pytest.mark.parametrize(("name", "reason"), [row for row in BAD_DATA if "\x00" not in row[0]])
def test_a_home_that_kafka_would_misread_is_refused(name: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        _cluster("/", Path("/home", name))
    assert caught.value.what == f"the home cannot be {f'/home/{name}'!r}"
    assert caught.value.why.startswith(reason)
    assert caught.value.hint == "set PROVISION_HOME to a directory with a plainer path"


def test_a_home_without_data_may_have_a_comma() -> None:
    cluster = _cluster("/", Path("/home/a,${b}"), storage="/data")
    assert cluster.brokers[0].config_dir == "/home/a,${b}/environments/orders/broker-1/config"


BAD_JARS = [
    (f"a{os.pathsep}b", f"Java takes {os.pathsep} for the end of one path"),
    ("a!", "Java takes !/ for the end of an archive's name"),
    ("a\nb", CONTROL),
]


@pytest.mark.parametrize(("name", "reason"), BAD_JARS)
def test_a_directory_of_jars_that_java_would_misread_is_refused(name: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        _cluster("/", Path("/home/me"), Path("/cache", name))
    assert caught.value.what == f"the cache cannot be {f'/cache/{name}'!r}"
    assert caught.value.why.startswith(reason)
    assert "PROVISION_CACHE" in caught.value.hint
    with pytest.raises(InvalidEnvironment) as refused:
        _cluster(f"/opt/{name}", Path("/home/me"), kafka={"distribution": "."})
    (problem,) = refused.value.problems
    assert (problem.path, reason in problem.message) == ("kafka.distribution", True)


@pytest.mark.parametrize("name", [name for name in ODD if os.pathsep not in name and name != "a!"])
def test_jars_are_found_below_any_other_name(name: str) -> None:
    (arguments, *_) = (node.java_args for node in _cluster("/", Path("/home/me"), Path("/cache", name)).nodes)
    assert arguments[arguments.index("-cp") + 1] == f"/cache/{name}/kafka/{KafkaVersion(3, 9, 1)}/*"


def test_a_jvm_takes_names_for_utf_8_where_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getencoding", lambda: "ANSI_X3.4-1968")
    assert variables()["LC_ALL"] == "C.UTF-8"
    monkeypatch.setattr("locale.getencoding", lambda: "UTF-8")
    assert variables() == os.environ
