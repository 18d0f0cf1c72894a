"""What a test takes down and leaves behind, with a cluster that only says what it was asked for."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provision import Interrupted, NotReady, ProvisionError, Record, Unavailable, UsageError
from provision.testing import Kafka
from provision.testing.kafka import Leftovers
from provision.testing.topic import _listed
from provision.testing.use import Use

FOREIGN = "of-somebody"


class _Cluster:
    """An environment, and its own client."""

    external_servers, bootstrap_servers = "", "127.0.0.1:1"

    def __init__(self) -> None:
        self.there: dict[str, str] = {f"broker-{number}": "running" for number in (1, 2, 3)}
        self.names: set[str] = set()
        self.started: list[list[str]] = []
        self.fails: BaseException | None = None
        self.seen: SimpleNamespace | None = None

    def as_client(self) -> "_Cluster":
        return self

    def observe(self) -> SimpleNamespace:
        if self.seen is None:
            self.seen = self.looked_at()
        return self.seen

    def looked_at(self) -> SimpleNamespace:
        nodes = [SimpleNamespace(name=name, state=state) for name, state in self.there.items()]
        return SimpleNamespace(nodes=nodes, of_role=lambda _role: [])

    def kill(self, nodes: Sequence[str], *, unregister: bool = False) -> None:  # noqa: ARG002
        self.there |= dict.fromkeys(nodes, "stopped")
        self.seen = None

    def start(self, nodes: Sequence[str]) -> None:
        if self.fails:
            raise self.fails
        self.started.append(list(nodes))
        self.there |= dict.fromkeys(nodes, "running")
        self.seen = None

    def topics(self, names: Sequence[str] = (), *, settings: bool) -> list[SimpleNamespace]:
        assert not settings
        if "running" not in self.there.values():
            raise Unavailable("no broker can be reached")
        return [SimpleNamespace(name=name, replication_factor=3) for name in sorted(names or self.names)]

    def groups(self, _names: Sequence[str] = ()) -> list[SimpleNamespace]:
        return []

    def create_topic(self, name: str, **_properties: object) -> None:
        self.names.add(name)
        if self.fails:
            raise self.fails

    def delete_topics(self, names: Sequence[str]) -> None:
        self.names -= set(names)

    def delete_groups(self, names: Sequence[str]) -> None:
        assert not names


@pytest.fixture
def cluster() -> _Cluster:
    return _Cluster()


def given(cluster: object, file: Path, **options: bool) -> Kafka:
    return Kafka(cluster, Use(file), **options)  # type: ignore[arg-type]


def test_what_a_test_takes_down_is_noted_until_it_runs_again(cluster: _Cluster, tmp_path: Path) -> None:
    file = tmp_path / "use"
    kafka = given(cluster, file)
    kafka.kill("broker-3")
    kafka.kill("broker-1")
    assert file.read_text().split() == ["broker-1", "broker-3"]
    kafka.start("broker-3")
    assert file.read_text().split() == ["broker-1"]
    kafka.close()
    assert file.read_text() == ""
    assert cluster.started == [["broker-3"], ["broker-1"]]


def test_the_next_test_starts_what_a_dead_one_has_taken_down(cluster: _Cluster, tmp_path: Path) -> None:
    file = tmp_path / "use"
    use = Use(file)
    Kafka(cluster, use).kill("broker-1", "broker-2")  # type: ignore[arg-type]
    use.release()  # as the kernel does
    cluster.fails, use = Unavailable("the engine does not answer"), Use(file)
    with pytest.raises(Unavailable):
        Kafka(cluster, use)  # type: ignore[arg-type]
    use.release()
    cluster.fails = None
    assert file.read_text().split() == ["broker-1", "broker-2"]
    kafka = given(cluster, file)
    assert cluster.started == [["broker-1", "broker-2"]]
    kafka.close()
    given(cluster, file).close()
    assert cluster.started == [["broker-1", "broker-2"]]


class _Outside:
    """The environment of a `_Cluster`, which looks at its nodes each time."""

    def __init__(self, cluster: _Cluster) -> None:
        self._cluster = cluster

    def as_client(self) -> _Cluster:
        return self._cluster

    def observe(self) -> SimpleNamespace:
        return self._cluster.looked_at()

    def start(self, nodes: Sequence[str]) -> None:
        self._cluster.start(nodes)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("how", ["by the environment", "by something else"])
@pytest.mark.parametrize("nodes", [["broker-2"], ["broker-1", "broker-2", "broker-3"]])
def test_what_is_down_otherwise_is_started_and_told(
    cluster: _Cluster, tmp_path: Path, nodes: list[str], how: str, check: bool
) -> None:
    kafka = given(_Outside(cluster), tmp_path / "use")
    if how == "by the environment":
        cluster.kill(nodes)
    else:
        cluster.there |= dict.fromkeys(nodes, "paused")
    is_noticed = how == "by the environment" or len(nodes) == 3
    try:
        kafka.close(check=check)
        told = ""
    except (Leftovers, Unavailable) as error:
        told = "\n".join([str(error), *getattr(error, "__notes__", ())])
    assert cluster.started == ([nodes] if is_noticed else [])
    for node in nodes if is_noticed and check else ():
        assert f"{node}, which is down: `kafka.stop` and `kafka.kill` have it started again" in told
    assert ("no broker can be reached" in told) == (is_noticed and how == "by something else")


def test_a_test_that_takes_nothing_down_looks_at_nodes_once(cluster: _Cluster, tmp_path: Path) -> None:
    looked: list[None] = []
    look = cluster.looked_at
    cluster.looked_at = lambda: looked.append(None) or look()  # type: ignore[func-returns-value, method-assign]
    given(_Outside(cluster), tmp_path / "use").close()
    assert len(looked) == 1


@pytest.mark.parametrize(
    "error", [AssertionError("late"), OSError("late"), pytest.fail.Exception("timeout"), KeyboardInterrupt("late")]
)
def test_an_end_that_fails_leaves_nothing_held_and_what_is_down_to_the_next_test(
    cluster: _Cluster, tmp_path: Path, error: BaseException
) -> None:
    file = tmp_path / "use"
    kafka = given(cluster, file)
    kafka.kill("broker-1")
    cluster.fails = error
    with pytest.raises(type(error)):
        kafka.close()
    cluster.fails = None
    later = given(cluster, file)
    assert cluster.started == [["broker-1"]]
    later.close()


@pytest.mark.parametrize(
    ("options", "is_told", "stays"),
    [
        ({"alone": True}, True, False),
        ({"alone": True, "spare": True}, True, True),
        ({"spare": True}, False, True),
        ({}, False, True),
    ],
)
def test_what_others_may_have_made_is_not_deleted(
    cluster: _Cluster, tmp_path: Path, options: dict[str, bool], is_told: bool, stays: bool
) -> None:
    kafka = given(cluster, tmp_path / "use", **options)
    kafka.topic("orders")
    cluster.names |= {FOREIGN, kafka.unique("own")}
    with pytest.raises(Leftovers) as raised:
        kafka.close()
    assert (FOREIGN in str(raised.value)) == is_told
    assert kafka.unique("own") in str(raised.value)
    assert "orders" not in str(raised.value)
    assert cluster.names == ({FOREIGN} if stays else set())


@pytest.mark.parametrize(
    ("ending", "is_told", "stays"),
    [
        ({"check": False}, False, False),
        ({"beside": True}, False, True),
        ({"check": False, "beside": True}, False, True),
    ],
)
def test_what_is_not_told_is_deleted_all_the_same_unless_a_wider_fixture_may_have_made_it(
    cluster: _Cluster, tmp_path: Path, ending: dict[str, bool], is_told: bool, stays: bool
) -> None:
    kafka = given(cluster, tmp_path / "use", alone=True)
    kafka.topic("orders")
    cluster.names.add(FOREIGN)
    kafka.close(**ending)
    assert cluster.names == ({FOREIGN} if stays else set())


def test_names_that_begin_alike_stay_apart(cluster: _Cluster, tmp_path: Path) -> None:
    kafka = given(cluster, tmp_path / "use")
    given_names = ["a" * length + end for length in (0, 191, 199, 230, 5000) for end in ("", "1", "2")]
    names = {kafka.unique(name) for name in given_names}
    assert len(names) == len(set(given_names))
    assert max(map(len, names)) <= 249 - 30  # room for what applications append
    assert kafka.unique("orders").startswith("orders-t")
    kafka.close()


@pytest.mark.parametrize("name", [None, 5, b"orders"])
def test_a_name_is_a_text(cluster: _Cluster, tmp_path: Path, name: object) -> None:
    kafka = given(cluster, tmp_path / "use")
    for ask in (kafka.unique, kafka.group, kafka.topic):
        with pytest.raises(UsageError, match="not"):
            ask(name)  # type: ignore[arg-type]
    kafka.close()


@pytest.mark.parametrize(("node", "shown"), [(1, "1"), ("", "''"), ("broker-9", "broker-9"), (None, "None")])
def test_a_node_that_is_none_is_told(cluster: _Cluster, tmp_path: Path, node: object, shown: str) -> None:
    kafka = given(cluster, tmp_path / "use")
    for do in (kafka.stop, kafka.kill, kafka.start):
        with pytest.raises(UsageError, match=f"there is no node {shown}"):
            do(node)  # type: ignore[arg-type]
    kafka.close()


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ({"config": {"retention.ms": "1000"}}, {"config": {"retention.ms": 1000}}, True),
        ({"config": {"preallocate": True}}, {"config": {"preallocate": "true"}}, True),
        ({"config": {"min.cleanable.dirty.ratio": 0.5}}, {"config": {"min.cleanable.dirty.ratio": "0.5"}}, True),
        ({}, {"config": {}}, True),
        ({"config": {}}, {}, True),
        ({}, {"replication_factor": 3}, True),
        ({}, {"partitions": 1}, True),
        ({"partitions": 2, "replication_factor": 2, "config": {"a": "b"}}, {}, True),
        ({"config": {"retention.ms": "1000"}}, {"config": {"retention.ms": 1001}}, False),
        ({"config": {"retention.ms": "1000"}}, {"config": {}}, False),
        ({}, {"config": {"preallocate": False}}, False),
        ({}, {"replication_factor": 2}, False),
        ({}, {"partitions": 2}, False),
    ],
)
def test_the_same_settings_are_the_same_topic(
    cluster: _Cluster, tmp_path: Path, first: dict[str, Any], second: dict[str, Any], is_same: bool
) -> None:
    kafka = given(cluster, tmp_path / "use")
    made = kafka.topic("orders", **first)
    if is_same:
        assert kafka.topic("orders", **second) is made
    else:
        with pytest.raises(UsageError, match="has a topic orders already") as raised:
            kafka.topic("orders", **second)
        assert "None" not in raised.value.why
    kafka.close()


def test_large_records_are_shown_cut() -> None:
    records = [
        Record("orders", 0, offset, None, value, (), 1) for offset, value in enumerate([b"x" * 900_000, None, b"short"])
    ]
    shown = _listed(records)
    assert len(shown) < 200
    assert "b'short'" in shown
    assert "None" in shown


@pytest.mark.parametrize("error", [TimeoutError("cancelled"), Unavailable("no broker knows it yet")])
def test_a_topic_whose_creation_was_interrupted_is_no_leftover(
    cluster: _Cluster, tmp_path: Path, error: Exception
) -> None:
    kafka = given(cluster, tmp_path / "use", alone=True)
    cluster.fails = error
    with pytest.raises(type(error)):
        kafka.topic("orders")
    cluster.fails = None
    assert cluster.names
    kafka.close()
    assert cluster.names == set()


@pytest.mark.parametrize("takes_down", ["kill", "stop"])
@pytest.mark.parametrize("error", [Interrupted("interrupted"), NotReady("it takes too long")])
def test_a_start_at_the_end_that_fails_once_is_neither_tried_again_nor_blamed_on_the_test(
    cluster: _Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: ProvisionError, takes_down: str
) -> None:
    environment = _Outside(cluster)
    monkeypatch.setattr(environment, takes_down, cluster.kill, raising=False)
    kafka = given(environment, tmp_path / "use")
    getattr(kafka, takes_down)("broker-1")
    cluster.fails, start = error, cluster.start

    def fail_once(nodes: Sequence[str]) -> None:
        try:
            start(nodes)
        finally:
            cluster.fails = None

    monkeypatch.setattr(cluster, "start", fail_once)
    with pytest.raises(type(error)) as told:
        kafka.close()
    assert told.value is error
    assert cluster.started == []
    assert not getattr(error, "__notes__", ())
