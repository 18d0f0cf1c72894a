"""Whatever is found, doing the first wave makes it what the file says; also when it is cut off and begun again."""

import dataclasses
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.cluster.model import Cluster
from provision.common.values import replace
from provision.plan.actions import Verb
from provision.plan.differences import differences
from tests.examples import examples
from tests.plan.cases import additions, changes, drifts, edits, ensembles, upgrades
from tests.plan.world import EXITED, NOTHING, RUNNING, World, brokers_with, cluster_of, done, files_of, plan, printed

CASES = additions() | changes() | drifts() | edits() | ensembles() | upgrades()
UNSEEN = {"drift-on-a-stopped-broker"}
"""What is set on a broker is asked only while it runs."""


def assert_converged(cluster: Cluster, world: World) -> None:
    assert printed(plan(cluster, world)) == "nothing to change\n"
    for node in cluster.nodes:
        assert world.nodes[node.name].state is RUNNING
        assert differences(world.files[node.name], files_of(cluster, node.name)) == ()


@pytest.mark.parametrize("name", sorted(set(CASES) - UNSEEN))
def test_doing_a_plan_leaves_nothing_to_do(name: str) -> None:
    cluster, world = CASES[name]
    assert_converged(cluster, done(cluster, world))


@pytest.mark.parametrize("name", sorted(set(CASES) - UNSEEN))
def test_a_plan_that_is_cut_off_anywhere_is_gone_on_with(name: str) -> None:
    cluster, world = CASES[name]
    for action in plan(cluster, world):
        world = world.after(cluster, action)
        assert_converged(cluster, done(cluster, world))


VERSIONS = ("3.8.1", "3.9.0", "3.9.1")


@cache
def cluster_like(members: int, brokers: int, threads: int | None, heap: str, version: str) -> Cluster:
    properties = {"num.io.threads": threads, "background.threads": threads} if threads else {}
    return cluster_of(
        zookeeper={"nodes": members},
        brokers=brokers_with(properties, brokers, heap=heap),
        kafka={"version": version},
    )


THREADS = st.sampled_from([None, 8, 16])
CLUSTERS = st.one_of(
    st.builds(cluster_like, st.just(1), st.just(2), THREADS, st.just("256m"), st.just("3.8.1")),
    st.builds(
        cluster_like,
        st.sampled_from([1, 3, 5]),
        st.integers(1, 4),
        THREADS,
        st.sampled_from(["256m", "300m"]),
        st.sampled_from(VERSIONS),
    ),
)


@dataclasses.dataclass(frozen=True)
class Step:
    """An `up` with a file, how many of its actions are done, and which nodes stop afterwards."""

    cluster: Cluster
    far: int
    stopped: frozenset[int]
    dynamic: bool


STEPS = st.lists(
    st.builds(
        Step,
        CLUSTERS,
        st.one_of(st.just(99), st.integers(0, 30)),
        st.frozensets(st.integers(0, 8), max_size=3),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=examples())
@given(STEPS)
def test_any_sequence_of_files_and_interruptions_ends_as_the_last_file_says(steps: list[Step]) -> None:
    """A refused file is followed by the next one. No broker stops on which something is set: that is asked too late."""
    world = NOTHING
    for step in steps:
        takes = frozenset({"num.io.threads", "background.threads"} if step.dynamic else ())
        world = replace(world, dynamic=takes)
        actions = plan(step.cluster, world)
        if any(action.verb is Verb.REFUSE for action in actions):
            assert all(action.verb is Verb.REFUSE for action in actions)
            continue
        world = world.after(step.cluster, *actions[: step.far])
        nodes = sorted(world.nodes)
        stopping = [nodes[place] for place in step.stopped if place < len(nodes) and not world.settings]
        world = world.but(EXITED, *stopping) if stopping else world
        assert_converged(step.cluster, done(step.cluster, world))
