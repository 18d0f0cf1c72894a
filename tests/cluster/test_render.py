"""Templates to files: golden files of the shipped environments, and all that own templates can do wrong."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from provision.cluster.fingerprint import config_hash
from provision.cluster.layout import Layout, LocalLayout, container_layout
from provision.cluster.model import Cluster, RenderedFile
from provision.cluster.properties import parse
from provision.cluster.render import MAX_CHARACTERS, render, render_here
from provision.cluster.resolve import resolve
from provision.errors import InvalidEnvironment, Problem
from provision.software.pins import is_lock_file
from provision.spec.loader import load
from provision.spec.model import EnvironmentSpec
from tests.golden import Golden

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
ENVIRONMENTS = sorted(file for file in (ROOT / "environments").glob("*.yaml") if not is_lock_file(file))

Own = Callable[..., Cluster]


# Environments that are no example, each with the layout of its runtime.
KRAFT: dict[str, tuple[Mapping[str, object], bool]] = {
    "kraft-combined": ({"kafka": {"version": "3.9.1", "mode": "kraft"}, "brokers": {"nodes": 4}}, True),
    "kraft-dedicated": ({"kafka": {"version": "4.3.0"}, "controllers": {"nodes": 3}, "brokers": {"nodes": 2}}, True),
    "kraft-combined-processes": (
        {"kafka": {"version": "3.9.1", "mode": "kraft"}, "brokers": {"nodes": 3, "port": "auto", "racks": ["a", "b"]}},
        False,
    ),
    "kraft-dedicated-processes": (
        {"kafka": {"version": "4.3.0"}, "controllers": {"nodes": 1, "properties": {"num.io.threads": 2}}},
        False,
    ),
}


CLOSED: dict[str, tuple[Mapping[str, object], bool]] = {
    "closed-ensemble": (
        {"kafka": {"version": "2.8.2"}, "zookeeper": {"nodes": 3, "port": 2181}, "security": "sasl-tls"},
        True,
    ),
    "closed-zookeeper-process": (
        {"kafka": {"version": "3.9.1"}, "brokers": {"nodes": 1, "port": "auto"}, "security": "mtls"},
        False,
    ),
}


def resolved(spec: EnvironmentSpec, base_directory: str = "/environments", layout: Layout | None = None) -> Cluster:
    layout = layout or container_layout(spec)
    ports = {name: 20000 + number for number, name in enumerate(layout.leased_ports(spec))}
    return resolve(spec, layout, ports, base_directory)


def without_example(case: str) -> Cluster:
    sections, in_containers = (KRAFT | CLOSED)[case]
    spec = EnvironmentSpec.model_validate({"name": "orders", **sections})
    home = "/home/me/.local/share/provision/environments/orders"
    local = LocalLayout(f"kafka {spec.kafka.version}", f"/cache/{spec.kafka.version}", home, home)
    return resolved(spec, layout=None if in_containers else local)


def cluster_of(**sections: object) -> Cluster:
    return resolved(EnvironmentSpec.model_validate({"name": "orders", **sections}))


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """Makes a cluster whose templates are own ones, given by name or as `server` for server.properties.j2."""

    def make(server: str | None = None, files: dict[str, str] | None = None, **sections: object) -> Cluster:
        texts = {**({} if server is None else {"server.properties.j2": server}), **(files or {})}
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return cluster_of(templates=str(tmp_path), **sections)

    return make


def text_of(cluster: Cluster, node: str = "broker-1", name: str = "server.properties") -> str:
    return next(file.text for file in render_here(cluster) if (file.node, file.name) == (node, name))


def refusal(cluster: Cluster) -> list[str]:
    """The problem lines, with own templates shown by their names only."""
    with pytest.raises(InvalidEnvironment) as caught:
        render_here(cluster)
    assert caught.value.exit_code == 65
    return [str(problem).replace(f"{cluster.templates}/", "own/") for problem in caught.value.problems]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda file: file.stem)
def test_every_shipped_environment_renders_to_its_golden_files(environment: Path, golden: Golden) -> None:
    files = render(resolved(load(environment)))
    golden.directory(GOLDEN / environment.stem, {f"{file.node}/{file.name}": file.text for file in files})


@pytest.mark.parametrize("case", KRAFT | CLOSED)
def test_kraft_and_closed_ensembles_render_to_their_golden_files_in_both_layouts(case: str, golden: Golden) -> None:
    golden.directory(GOLDEN / case, {f"{file.node}/{file.name}": file.text for file in render(without_example(case))})


@pytest.mark.parametrize("case", KRAFT)
def test_every_node_of_a_kraft_cluster_is_told_the_same_voters(case: str) -> None:
    cluster = without_example(case)
    main = ("server.properties", "controller.properties")
    told = [parse(file.text)["controller.quorum.voters"] for file in render(cluster) if file.name in main]
    assert len(told) == len(cluster.nodes)
    assert len(set(told)) == 1
    voters = [voter.partition("@")[0] for voter in told[0].split(",")]
    assert voters == [str(node.id) for node in cluster.voters]


def test_there_is_no_golden_directory_without_its_environment() -> None:
    shipped = {environment.stem for environment in ENVIRONMENTS}
    assert {path.name for path in GOLDEN.iterdir()} == shipped | KRAFT.keys() | CLOSED.keys()


def test_no_golden_file_names_this_machine() -> None:
    texts = {file: file.read_text() for file in GOLDEN.rglob("*") if file.is_file()}
    assert texts
    named = [file for file, text in texts.items() if str(ROOT) in text or str(Path.home()) in text]
    assert named == []


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda file: file.stem)
def test_the_same_environment_gives_the_same_bytes(environment: Path) -> None:
    assert render(resolved(load(environment))) == render(resolved(load(environment)))


def test_the_order_of_keys_in_the_file_does_not_change_the_bytes() -> None:
    one = cluster_of(brokers={"properties": {"a": 1, "b": 2}}, zookeeper={"properties": {"c": 3, "d": 4}})
    other = cluster_of(zookeeper={"properties": {"d": 4, "c": 3}}, brokers={"properties": {"b": 2, "a": 1}})
    assert render(one) == render(other)


def test_every_node_has_its_settings_its_logging_and_its_launch_file() -> None:
    assert [(file.node, file.name) for file in render(cluster_of())] == [
        ("zookeeper-1", "launch.json"),
        ("zookeeper-1", "java.security"),
        ("zookeeper-1", "zookeeper.properties"),
        ("zookeeper-1", "log4j.properties"),
        ("broker-1", "launch.json"),
        ("broker-1", "java.security"),
        ("broker-1", "server.properties"),
        ("broker-1", "log4j.properties"),
    ]


def test_the_settings_say_what_was_resolved() -> None:
    cluster = cluster_of(brokers={"nodes": 2, "racks": ["a", "b"], "properties": {"num.io.threads": 7}})
    assert parse(text_of(cluster, "broker-2")) == {
        "broker.id": "2",
        "broker.rack": "b",
        "log.dirs": "/var/lib/provision/data",
        "listeners": "INTERNAL://0.0.0.0:9092,HOST://0.0.0.0:19092",
        "advertised.listeners": "INTERNAL://orders-broker-2:9092,HOST://127.0.0.1:9093",
        "listener.security.protocol.map": "INTERNAL:PLAINTEXT,HOST:PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        **cluster.brokers[1].properties,
    }


def test_a_single_zookeeper_has_no_ensemble_and_three_name_each_other() -> None:
    single = parse(text_of(cluster_of(), "zookeeper-1", "zookeeper.properties"))
    assert not [key for key in single if key.startswith("server.")]
    third = parse(text_of(cluster_of(zookeeper={"nodes": 3}), "zookeeper-3", "zookeeper.properties"))
    assert {key: value for key, value in third.items() if key.startswith("server.")} == {
        f"server.{number}": f"orders-zookeeper-{number}:2888:3888" for number in (1, 2, 3)
    }


def test_a_propertys_value_comes_through_as_it_is() -> None:
    value = r" C:\new=größe # ${x} {{ 1 }} 😀 "
    assert parse(text_of(cluster_of(brokers={"properties": {"note": value}})))["note"] == value


def test_the_launch_file_says_what_is_started() -> None:
    cluster = cluster_of(storage="data", brokers={"port": 9100})
    assert json.loads(text_of(cluster, "broker-1", "launch.json")) == {
        "kafka": "3.9.1",
        "software": "apache/kafka:3.9.1",
        "java": "java",
        "arguments": list(cluster.brokers[0].java_args),
        "memory_bytes": 1024**3,
        "host_port": 9100,
        "storage": "/environments/data",
    }


def test_the_hash_of_a_node_changes_with_its_own_files_only() -> None:
    before = render(cluster_of(brokers={"nodes": 2}))
    after = render(cluster_of(brokers={"nodes": 2, "overrides": {2: {"properties": {"num.io.threads": 16}}}}))
    changed = [
        name
        for name in ("zookeeper-1", "broker-1", "broker-2")
        if config_hash(name, before) != config_hash(name, after)
    ]
    assert changed == ["broker-2"]


def test_the_hash_does_not_depend_on_the_order_of_the_files_but_on_their_names() -> None:
    one, other = RenderedFile("broker-1", "a", b"x"), RenderedFile("broker-1", "b", b"y")
    assert config_hash("broker-1", (one, other)) == config_hash("broker-1", (other, one))
    swapped = (RenderedFile("broker-1", "b", b"x"), RenderedFile("broker-1", "a", b"y"))
    assert config_hash("broker-1", (one, other)) != config_hash("broker-1", swapped)


def test_own_templates_shadow_the_shipped_ones_by_name_and_leave_the_others(own: Own) -> None:
    cluster = own("broker.id={{ node.id }}\nown={{ vars.greeting }}\n", vars={"greeting": "hello"})
    assert text_of(cluster) == "broker.id=1\nown=hello\n"
    assert text_of(cluster, "zookeeper-1", "zookeeper.properties") == text_of(
        cluster_of(), "zookeeper-1", "zookeeper.properties"
    )


def test_own_templates_may_include_shipped_and_own_ones(own: Own) -> None:
    cluster = own("{% include 'log4j.properties.j2' %}{% include 'parts/more.j2' %}", {"parts/more.j2": "more=yes\n"})
    assert parse(text_of(cluster))["more"] == "yes"
    assert parse(text_of(cluster))["log4j.rootLogger"] == "INFO, stdout"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((True, "true"), (False, "false"), (7, "7"), (0.5, "0.5"), ("", ""), ("a b", "a b")),
        *((" a", r"\ a"), ("a\\b", r"a\\b"), ("é", r"\u00e9"), ("k=v:w#", "k=v:w#")),
    ],
)
def test_values_are_written_as_java_reads_them(own: Own, value: object, text: str) -> None:
    assert text_of(own("x={{ vars.x }}", vars={"x": value})) == f"x={text}"


def test_numbers_of_the_file_are_written_as_they_are_in_the_file(own: Own, tmp_path: Path) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text(f"templates: {tmp_path}\nvars: {{x: 3.10, y: 1e9, z: 007}}\n")
    own("x={{ vars.x }}\ny={{ vars.y }}\nz={{ vars.z }}")
    assert text_of(resolved(load(file))) == "x=3.10\ny=1e9\nz=007"


@pytest.mark.parametrize("expression", ["'a\nb'", "vars.x", "'a' ~ vars.x", "[vars.x] | join", "vars.y"])
def test_a_line_break_cannot_come_through_an_expression(own: Own, expression: str) -> None:
    cluster = own(f"a=1\nb={{{{ {expression} }}}}\n", vars={"x": "1\nlisteners=EVIL://:1", "y": "1\r"})
    assert refusal(cluster) == ["own/server.properties.j2:2:1: rendering broker-1: a value cannot contain a line break"]


def test_a_key_that_comes_out_twice_is_refused_with_both_lines(own: Own) -> None:
    assert refusal(own("# first\nbroker.id=1\na=2\nbroker.id=3\n")) == [
        (
            "own/server.properties.j2: rendering broker-1: broker.id is set twice, in line 2 and in line 4 "
            "of what it renders to (see it with `provision render`)"
        )
    ]


def test_a_key_that_a_shipped_template_decides_cannot_be_slipped_in_by_vars(own: Own) -> None:
    cluster = own("a=1\n{% for key, value in vars.items() %}\n{{ key }}={{ value }}\n{% endfor %}\n", vars={"a": 2})
    assert "a is set twice, in line 1 and in line 2" in refusal(cluster)[0]


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("vars.missing", "'dict object' has no attribute 'missing'"),
        ("missing", "'missing' is undefined"),
        ("node.missing", "'provision.cluster.model.Node object' has no attribute 'missing'"),
        ("missing.further", "'missing' is undefined"),
        ("range(3)", "'range' is undefined"),
        ("lipsum()", "'lipsum' is undefined"),
        ("self.x", "'jinja2.runtime.TemplateReference object' has no attribute 'x'"),
    ],
)
def test_names_that_are_not_there_are_refused(own: Own, expression: str, reason: str) -> None:
    (line,) = refusal(own(f"a=1\n\nb={{{{ {expression} }}}}\n"))
    assert line.startswith(f"own/server.properties.j2:3:1: rendering broker-1: {reason}")


def test_an_undefined_name_comes_with_the_names_there_are(own: Own) -> None:
    assert refusal(own("{{ brokers }}")) == [
        (
            "own/server.properties.j2:1:1: rendering broker-1: 'brokers' is undefined "
            "(known names: cluster, node, listeners, ensemble, voters, properties, vars)"
        )
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__.__mro__",
        "''.__class__",
        "node.__class__.__init__.__globals__",
        "cluster.of_role.__func__",
        "''['__class__']",
        "''|attr('__class__')",
        "'{0.__class__}'.format(node)",
        "vars.update({'a': 1})",
        "properties.clear()",
        "listeners.__class__",
    ],
)
def test_the_sandbox_refuses_what_leads_out_of_it(own: Own, expression: str) -> None:
    (line,) = refusal(own(f"a=1\nb={{{{ {expression} }}}}\n"))
    assert line.startswith("own/server.properties.j2:2:1: rendering broker-1: ")
    assert "unsafe" in line or "undefined" in line or "has no attribute" in line


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("1 / 0", "division by zero"),
        ("1 + 'a'", "unsupported operand type(s) for +: 'int' and 'str'"),
        ("node.listener('SSL')", "there is no 'SSL'"),
        ("'a'.encode('nothing')", "unknown encoding: nothing"),
        ("vars.nothing", "an expression has no value: it is null"),
        ("none", "an expression has no value: it is null"),
        ("'x' | truncate(-5)", "expected length >= 3, got -5"),
        ("'x' | wordwrap(0)", "invalid width 0 (must be > 0)"),
        ("'x'.expandtabs(10 ** 10)", "Python int too large to convert to C int"),
        ("'x' | round", "type str doesn't define __round__ method"),
        ("'{' .format(1)", "Single '{' encountered in format string"),
        ("1 | batch", "do_batch() missing 1 required positional argument: 'linecount'"),
        ("cluster | tojson", "Object of type Cluster is not JSON serializable"),
        ("(10 ** 5000)", "Exceeds the limit (4300 digits) for integer string conversion"),
    ],
)
def test_an_expression_that_fails_is_refused_with_its_line(own: Own, expression: str, reason: str) -> None:
    cluster = own(f"a=1\nb={{{{ {expression} }}}}\n", vars={"nothing": None})
    (line,) = refusal(cluster)
    assert line.startswith(f"own/server.properties.j2:2:1: rendering broker-1: {reason}")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a=1\n{% if %}\n", 2, "Expected an expression, got 'end of statement block'"),
        ("a=1\n\n{{ a", 3, "unexpected end of template"),
        ("{% for x in y %}\n", 1, "Unexpected end of template"),
        ("a=1\n{{ a | nothing }}\n", 2, "No filter named 'nothing'."),
        ("a=1\n{% import os %}\n", 2, "expected token 'as', got 'end of statement block'"),
    ],
)
def test_a_template_that_is_no_template_is_refused_with_its_line(own: Own, text: str, line: int, reason: str) -> None:
    (problem,) = refusal(own(text))
    assert problem.startswith(f"own/server.properties.j2:{line}:1: rendering broker-1: {reason}")


def test_a_mistake_in_an_included_template_is_told_there(own: Own) -> None:
    cluster = own("a=1\n{% include 'parts/more.j2' %}", {"parts/more.j2": "\n\nb={{ missing }}\n"})
    assert refusal(cluster)[0].startswith("own/parts/more.j2:3:1: rendering broker-1: 'missing' is undefined")
    cluster = own("a=1\n{% include 'parts/more.j2' %}", {"parts/more.j2": "\n{% if %}\n"})
    assert refusal(cluster)[0].startswith("own/parts/more.j2:2:1: rendering broker-1: Expected an expression")


def test_an_included_template_that_is_not_there_is_named(own: Own) -> None:
    (line,) = refusal(own("a=1\n{% include 'nothing.j2' %}"))
    assert line.startswith("own/server.properties.j2:2:1: rendering broker-1: there is no template 'nothing.j2'")


def test_a_template_cannot_read_outside_its_directory(own: Own) -> None:
    (line,) = refusal(own("{% include '../../../../../etc/hostname' %}"))
    assert line.startswith("own/server.properties.j2:1:1: ")


@pytest.mark.parametrize(
    "text",
    [
        "{% include 'server.properties.j2' %}",
        "{% include 'other.j2' %}",
        "{% extends 'server.properties.j2' %}",
        "{% import 'server.properties.j2' as it %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for node in cluster.nodes recursive %}{{ loop(cluster.nodes) }}{% endfor %}",
    ],
)
def test_a_template_without_end_is_refused(own: Own, text: str) -> None:
    (line,) = refusal(own(text, {"other.j2": "{% include 'server.properties.j2' %}"}))
    assert "it includes or calls itself without end" in line


def test_an_expression_nested_too_deep_is_refused(own: Own) -> None:
    (line,) = refusal(own(f"{{{{ {'(' * 5000}1{')' * 5000} }}}}"))
    assert line.startswith("own/server.properties.j2: rendering broker-1: ")


@pytest.mark.parametrize(
    "text", ["x" * 1024, "{{ 'x' * 1024 }}", "{{ vars.x }}", "{% include 'other.j2' %}"], ids=range(4)
)
def test_a_file_of_more_than_a_mebibyte_is_refused_with_the_line_that_is_too_much(own: Own, text: str) -> None:
    loop = f"{{% for _ in vars.x * 1025 %}}\n{text}\n{{% endfor %}}\n"
    (line,) = refusal(own(f"a=\n{loop}", {"other.j2": "x" * 1024}, vars={"x": "x" * 1024}))
    # Jinja counts a text without an expression to the statement before it.
    assert line.startswith(("own/server.properties.j2:2:1: ", "own/server.properties.j2:3:1: "))
    assert line.endswith(f"rendering broker-1: it renders to more than {MAX_CHARACTERS} characters")


def test_a_file_is_written_as_java_reads_it(own: Own) -> None:
    r"""Java reads ISO 8859-1, and `\uXXXX` for all else; a backslash before any other character means nothing."""
    cluster = own("# für\nrack=zürich ☃ \N{GRINNING FACE} \\é \\\\é\n")
    (file,) = (file for file in render_here(cluster) if (file.node, file.name) == ("broker-1", "server.properties"))
    assert file.content.isascii()
    assert parse(file.content.decode("latin-1")) == {"rack": "zürich ☃ \N{GRINNING FACE} é \\é"}


def test_a_mark_of_windows_editors_at_the_start_is_no_part_of_the_first_key(own: Own, tmp_path: Path) -> None:
    cluster = own("")
    (tmp_path / "server.properties.j2").write_text("a=1\n", encoding="utf-8-sig")
    assert parse(text_of(cluster)) == {"a": "1"}


def test_a_template_that_is_not_utf_8_is_refused(own: Own, tmp_path: Path) -> None:
    cluster = own("")
    (tmp_path / "server.properties.j2").write_bytes(b"a=\xfc\n")
    assert "can't decode byte 0xfc" in refusal(cluster)[0]


def test_a_directory_of_templates_that_is_not_there_is_told_with_the_key(tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing")
    with pytest.raises(InvalidEnvironment) as caught:
        render(cluster_of(templates=missing))
    assert caught.value.problems == (
        Problem(missing, 0, 0, "templates", "there is no such directory", "create it, or remove the key"),
    )


def test_a_mistake_in_a_template_is_told_once_for_all_nodes_and_mistakes_of_several_templates_all(own: Own) -> None:
    cluster = own("{{ one }}", {"zookeeper.properties.j2": "\n{{ two }}"}, brokers={"nodes": 3}, zookeeper={"nodes": 3})
    assert [line.split(" (")[0] for line in refusal(cluster)] == [
        "own/server.properties.j2:1:1: rendering broker-1: 'one' is undefined",
        "own/zookeeper.properties.j2:2:1: rendering zookeeper-1: 'two' is undefined",
    ]
