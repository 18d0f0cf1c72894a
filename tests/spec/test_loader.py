"""An environment file to its spec: defaults, what valid files may say, and what reading them never does."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.cluster.model import TopicPolicy
from provision.cluster.resolve import resolve_topic_policy, resolve_topics
from provision.errors import InvalidEnvironment, UsageError
from provision.software.pins import is_lock_file
from provision.spec.loader import load, load_values
from provision.spec.model import EnvironmentSpec
from tests.examples import examples

ENVIRONMENTS = sorted(f for f in (Path(__file__).parents[2] / "environments").glob("*.yaml") if not is_lock_file(f))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "orders.yaml"


def spec_of(file: Path, text: str) -> EnvironmentSpec:
    file.write_text(text, encoding="utf-8")
    return load(file)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda file: file.stem)
def test_every_shipped_environment_is_valid_and_named_by_its_file(environment: Path) -> None:
    assert load(environment).name == environment.stem


JAVA: dict[str, object] = {"profile": "fast", "options": [], "agents": [], "jmx_port": None}


def test_a_file_of_one_key_has_every_default(file: Path) -> None:
    spec = spec_of(file, "storage: volume\n")
    assert json.loads(spec.model_dump_json()) == {
        "name": "orders",
        "bootstrap_servers": None,
        "runtime": "auto",
        "swarm": {"engines": {}, "addresses": {}, "drain": [], "encrypted": True, "publish": "host"},
        "kafka": {"version": "3.9.1", "mode": None, "image": None, "distribution": None},
        "zookeeper": {"nodes": 1, "image": None, "port": None, "heap": "64m", "java": JAVA, "properties": {}},
        "controllers": {"nodes": 0, "heap": "128m", "java": JAVA, "properties": {}},
        "brokers": {
            "nodes": 1,
            "port": 9092,
            "racks": [],
            "heap": "256m",
            "memory": "1g",
            "java": JAVA,
            "properties": {},
            "overrides": {},
        },
        "listeners": {},
        "security": "plaintext",
        "certificates": None,
        "users": [],
        "acls": [],
        "storage": "volume",
        "templates": None,
        "vars": {},
        "ttl": None,
        "topic_defaults": {"partitions": 1, "replication_factor": None, "config": {}},
        "topics": [],
        "quotas": [],
        "prune": False,
        "keep": [],
        "rebalance": False,
        "throttle": None,
        "warm": True,
    }


def test_a_file_may_say_everything(file: Path) -> None:
    text = """\
name: everything
runtime: docker
kafka: {version: 3.8.1, mode: zookeeper, image: "apache/kafka@sha256:0123456789abcdef"}
zookeeper: {nodes: 3, port: auto, heap: 96m, properties: {tickTime: 1000}}
controllers: {nodes: 0}
brokers:
  nodes: 3
  port: auto
  racks: [a, b]
  heap: 300m
  memory: 2g
  properties: {num.io.threads: 8, auto.create.topics.enable: false, log.cleaner.io.buffer.load.factor: 0.90}
  overrides: {2: {rack: c, heap: 1g, properties: {num.io.threads: 16}}}
storage: ./data
templates: ./templates
vars: {deep: {list: [1, true, ~, 1.5]}}
ttl: 1.5h
topic_defaults: {partitions: 6, replication_factor: 3, config: {min.insync.replicas: 2}}
topics:
  - name: orders
    partitions: 12
    replication_factor: 2
    config: {retention.ms: 9223372036854775807, cleanup.policy: "compact,delete"}
    grow_compacted: true
  - name: payments
    replicas: [[1, 2], [3, 1]]
prune: true
rebalance: true
throttle: 10m
"""
    (file.parent / "templates").mkdir()
    spec = spec_of(file, text)
    assert spec.name == "everything"
    assert spec.brokers.properties == {
        "num.io.threads": "8",
        "auto.create.topics.enable": "false",
        "log.cleaner.io.buffer.load.factor": "0.90",
    }
    assert spec.brokers.overrides[2].properties == {"num.io.threads": "16"}
    assert spec.topics[0].config == {"retention.ms": "9223372036854775807", "cleanup.policy": "compact,delete"}
    assert spec.vars == {"deep": {"list": [1, True, None, 1.5]}}
    assert (spec.topics[0].grow_compacted, spec.topics[1].grow_compacted) == (True, False)
    assert (spec.topics[0].replicas, spec.topics[1].replicas) == (None, [[1, 2], [3, 1]])
    assert (spec.prune, spec.rebalance, spec.throttle) == (True, True, "10m")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("kafka.example:9092", "kafka.example:9092"),
        ("one:9092, two:9093", "one:9092,two:9093"),
        ("[one:9092, 'two:9093']", "one:9092,two:9093"),
        ("'[::1]:65535'", "[::1]:65535"),
    ],
)
def test_a_file_may_name_a_cluster_that_others_run(file: Path, written: str, read: str) -> None:
    spec = spec_of(file, f"bootstrap_servers: {written}\ntopics: [{{name: orders, replicas: [[7, 9]]}}]\nprune: true\n")
    assert spec.bootstrap_servers == read


def test_named_replicas_say_how_many_partitions_and_replicas_a_topic_has(file: Path) -> None:
    text = """\
brokers: {nodes: 3}
topic_defaults: {partitions: 6, replication_factor: 3}
topics:
  - {name: named, replicas: [[1, 2], [2, 3]]}
  - {name: named-and-said, replicas: [[1]], partitions: 1, replication_factor: 1}
  - {name: default}
"""
    topics = resolve_topics(spec_of(file, text))
    assert [(topic.partitions, topic.replication_factor, topic.replicas) for topic in topics] == [
        (2, 2, ((1, 2), (2, 3))),
        (1, 1, ((1,),)),
        (6, 3, None),
    ]


def test_the_throttle_is_in_bytes_and_nothing_is_deleted_or_moved_unless_asked_for(file: Path) -> None:
    assert resolve_topic_policy(spec_of(file, "throttle: 10m\n")) == TopicPolicy(throttle_bytes_per_s=10 * 1024**2)
    assert resolve_topic_policy(spec_of(file, "name: orders\n")) == TopicPolicy(prune=False, rebalance=False)
    assert resolve_topic_policy(spec_of(file, "{prune: true, rebalance: true}\n")) == TopicPolicy(True, True)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        *(("off", "off"), ("no", "no"), ("12:30", "12:30"), ("2024-01-01", "2024-01-01"), ("0x10", "0x10")),
        *(("1e3", "1e3"), ("3.10", "3.10"), ("007", "007"), ("9223372036854775807", "9223372036854775807")),
        *(("true", "true"), ("FALSE", "false"), ("-1", "-1"), ('"true"', "true"), ("''", ""), ("99e999", "99e999")),
        *(("a # comment", "a"), ("a#b", "a#b"), ('" a "', " a "), ("größe", "größe"), ("C:\\temp", "C:\\temp")),
    ],
)
def test_a_propertys_value_is_the_text_that_was_written(file: Path, written: str, read: str) -> None:
    assert spec_of(file, f"brokers: {{properties: {{key: {written} \n}}}}\n").brokers.properties == {"key": read}


def test_sections_may_share_values_by_anchors_and_merge_keys(file: Path) -> None:
    text = """\
vars:
  common: &common {retention.ms: 1000, cleanup.policy: delete}
topics:
  - name: orders
    config: &orders {<<: *common, retention.ms: 2000}
  - {name: payments, config: *orders}
"""
    first, second = spec_of(file, text).topics
    assert first.config == second.config == {"retention.ms": "2000", "cleanup.policy": "delete"}


def test_a_mistake_in_a_shared_value_is_told_for_each_that_has_it(file: Path) -> None:
    file.write_text("vars:\n  a: &a {b c: 1}\ntopics:\n  - {name: x, config: *a}\n  - {name: y, config: *a}\n")
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    assert [(p.line, p.column, p.path) for p in caught.value.problems] == [
        (2, 10, "topics[0].config.b c"),
        (2, 10, "topics[1].config.b c"),
    ]


def test_the_name_in_the_file_counts_before_the_files_stem(file: Path) -> None:
    assert spec_of(file, "name: payments\n").name == "payments"


@pytest.mark.parametrize("name", ["ab", "a" * 40, "0-0", "a--"])
def test_names_at_the_limits_of_their_form_are_names(file: Path, name: str) -> None:
    assert spec_of(file, f'name: "{name}"\n').name == name


def test_a_byte_order_mark_and_line_ends_of_windows_are_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfname: payments\r\nbrokers:\r\n  nodes: 3\r\n")
    assert load(file).brokers.nodes == 3


def test_json_is_yaml(file: Path) -> None:
    assert spec_of(file, json.dumps({"name": "payments", "brokers": {"nodes": 3}})).brokers.nodes == 3


@pytest.mark.parametrize("nodes", [1, 3, 5, 7])
def test_an_ensemble_is_odd(file: Path, nodes: int) -> None:
    assert spec_of(file, f"zookeeper: {{nodes: {nodes}}}\n").zookeeper.nodes == nodes


def test_what_just_fits_together_is_valid(file: Path) -> None:
    text = """\
zookeeper: {nodes: 3, port: 9089}
brokers: {nodes: 3, port: 9092, heap: 896m, memory: 1g, overrides: {3: {rack: a}}}
topics:
  - {name: a.b, replication_factor: 3, config: {min.insync.replicas: 3}}
  - {name: a-b}
  - {name: _a}
"""
    assert len(spec_of(file, text).topics) == 3


def test_the_last_port_is_a_port(file: Path) -> None:
    assert spec_of(file, "brokers: {nodes: 2, port: 65534}\n").brokers.port == 65534


def test_a_topic_without_replication_factor_gets_three_or_as_many_as_there_are_brokers(file: Path) -> None:
    text = "brokers: {nodes: 2}\ntopics: [{name: orders, config: {min.insync.replicas: 2}}]\n"
    assert spec_of(file, text).topics[0].replication_factor is None
    file.write_text(text.replace("replicas: 2", "replicas: 3"))
    with pytest.raises(InvalidEnvironment, match=r"1 problem\n") as caught:
        load(file)
    assert "which has 2" in caught.value.why


def test_one_unreadable_value_gives_one_message_and_no_others_from_its_default(file: Path) -> None:
    file.write_text("brokers: {nodes: three}\ntopics: [{name: orders, replication_factor: 3}]\n")
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    assert [problem.path for problem in caught.value.problems] == ["brokers.nodes"]


def test_a_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "nothing.yaml")
    assert caught.value.exit_code == 64
    assert caught.value.what == f"cannot read {tmp_path / 'nothing.yaml'}"
    assert caught.value.why == "No such file or directory"


def test_a_directory_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load(tmp_path)


def outcome(file: Path) -> EnvironmentSpec | InvalidEnvironment:
    """Whatever `load` does that it may do; anything else is raised."""
    try:
        return load(file)
    except InvalidEnvironment as error:
        return error


def is_told_properly(result: EnvironmentSpec | InvalidEnvironment, file: Path) -> bool:
    """Whether it is a spec, or has problems that each have a message and a place, none of them twice."""
    if isinstance(result, EnvironmentSpec):
        return True
    problems = result.problems
    placed = all(problem.file == str(file) and problem.line >= 1 and problem.column >= 1 for problem in problems)
    return bool(problems) and placed and all(p.message for p in problems) and len(set(problems)) == len(problems)


ANY_FILE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=examples()
)
KEYS = st.sampled_from(
    sorted(
        set(EnvironmentSpec.model_fields)
        | {
            "version",
            "mode",
            "image",
            "nodes",
            "port",
            "racks",
            "heap",
            "memory",
            "java",
            "properties",
            "overrides",
            "rack",
        }
        | {"partitions", "replication_factor", "config", "min.insync.replicas", "a b", "", "[key]", "²"}
    )
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["auto", "volume", "3.9.1", "256m", "2h", "0", "²", "kraft", "a.b", "a_b"])
)
NESTED = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


@ANY_FILE
@given(raw=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_spec_or_an_invalid_environment(file: Path, raw: bytes) -> None:
    file.write_bytes(raw)
    assert is_told_properly(outcome(file), file)


@ANY_FILE
@given(data=st.dictionaries(KEYS, NESTED, max_size=8))
def test_any_nested_data_is_a_spec_or_an_invalid_environment(file: Path, data: dict[str, object]) -> None:
    file.write_text(json.dumps(data))
    assert is_told_properly(outcome(file), file)


SECTIONS = {
    "brokers": ("nodes", "port", "racks", "heap", "memory", "java", "properties", "overrides"),
    "zookeeper": ("nodes", "port", "heap", "java", "properties"),
    "kafka": ("version", "mode", "image", "distribution"),
    "topic_defaults": ("partitions", "replication_factor", "config"),
}


@ANY_FILE
@given(
    sections=st.fixed_dictionaries(
        {},
        optional={
            name: NESTED | st.dictionaries(st.sampled_from(keys), NESTED, max_size=4) for name, keys in SECTIONS.items()
        },
    ),
    topics=st.lists(
        NESTED | st.fixed_dictionaries({"name": SCALARS}, optional={"config": NESTED, "partitions": SCALARS}),
        max_size=4,
    ),
)
def test_any_values_in_the_known_sections_are_a_spec_or_an_invalid_environment(
    file: Path, sections: dict[str, object], topics: list[object]
) -> None:
    file.write_text(json.dumps({**sections, "topics": topics}))
    assert is_told_properly(outcome(file), file)


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("values", "path", "reason"),
    [
        ({"vars": {"a": _nested(100_000)}}, "vars", "nested more than 32 deep"),
        ({"vars": {"a": ENDLESS}}, "vars", "nested more than 32 deep"),
        ({"vars": {"a": "\udcff"}}, "vars.a", "is not text"),
        ({"\ud800": 1}, "", "is not text"),
        ({"brokers": {"properties": {"a\udcff": 1}}}, "brokers.properties", "is not text"),
        ({"storage": "/data/\udcff"}, "storage", "is not text"),
        ({"brokers": {"nodes": 10**5000}}, "brokers.nodes", "a whole number has at most 100 digits"),
        ({"brokers": {"overrides": {-(10**5000): {}}}}, "brokers.overrides", "a whole number has at most 100 digits"),
        (
            {"quotas": [{"client_id": "a", "producer_byte_rate": 10**5000}]},
            "quotas[0].producer_byte_rate",
            "100 digits",
        ),
    ],
)
def test_values_that_no_file_could_hold_are_refused(values: dict[str, object], path: str, reason: str) -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        load_values({"name": "orders", **values})
    (problem,) = caught.value.problems
    assert (problem.path, reason in problem.message) == (path, True)


def test_thousands_of_unknown_keys_are_all_told_and_the_first_with_a_suggestion(file: Path) -> None:
    file.write_text("".join(f"broker{number}: 1\n" for number in range(5000)))
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    hints = [problem.hint for problem in caught.value.problems]
    assert len(hints) == 5000
    assert (hints[0], hints[-1][:12]) == ("did you mean brokers?", "known here: ")


ONE_MISTAKE = {
    "users: [app]\nsecurity: sasl-tls\n": ["users[0]"],
    "users: [{}]\nsecurity: sasl-tls\n": ["users[0].name"],
    "users: [{name: a}, 5]\nsecurity: sasl-tls\n": ["users[1]"],
    "topics: [t]\n": ["topics[0]"],
    "topics: [{partitions: 3}]\n": ["topics[0].name"],
    "topics: [{name: t, records: {key: k}}]\n": ["topics[0].records.file"],
    "brokers: {java: {agents: [/opt/agent.jar]}}\n": ["brokers.java.agents[0]"],
    "brokers: {java: {agents: [{port: 9404}]}}\n": ["brokers.java.agents[0].jar"],
    "certificates: {authority: {key: ca.key}}\nsecurity: tls\n": ["certificates.authority.certificate"],
    "certificates: {}\nsecurity: tls\n": ["certificates.authority"],
    "quotas: [1]\n": ["quotas[0]"],
    "listeners: {plain: 9092}\n": ["listeners.…"],
}


@pytest.mark.parametrize("text", ONE_MISTAKE)
def test_what_was_left_out_for_one_mistake_is_no_other_one(text: str, tmp_path: Path) -> None:
    file = tmp_path / "dev.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    found = [problem.path for problem in caught.value.problems]
    assert found == ONE_MISTAKE[text]


@pytest.mark.parametrize("mistake", ONE_MISTAKE)
def test_and_does_not_hide_what_else_is_wrong(mistake: str, tmp_path: Path) -> None:
    file = tmp_path / "dev.yaml"
    file.write_text(f"{mistake}zookeeper: {{nodes: 2}}\nttl: soon\n", encoding="utf-8")
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    assert {"zookeeper.nodes", "ttl"} <= {problem.path for problem in caught.value.problems}


def test_a_number_without_end_is_told_as_one_and_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "dev.yaml"
    file.write_text(f"brokers: {{nodes: {'9' * 300}}}\n", encoding="utf-8")
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert problem.hint == "it is too large"
    assert len(problem.message) < 200


@pytest.mark.parametrize(
    "option",
    [
        "-XX:MaxHeapSize=300m",
        "-XX:InitialHeapSize=1g",
        "-mx1g",
        "-ms64m",
        "--list-modules",
        "-Xlog:help",
        "-fullversion",
    ],
)
def test_what_would_set_the_heap_another_way_or_not_run_kafka_is_refused(option: str, tmp_path: Path) -> None:
    file = tmp_path / "dev.yaml"
    file.write_text(f"brokers: {{java: {{options: ['{option}']}}}}\n", encoding="utf-8")
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    assert [problem.path for problem in caught.value.problems] == ["brokers.java.options[0]"]
