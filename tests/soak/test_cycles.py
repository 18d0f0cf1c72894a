"""Many cycles of real nodes, and many environments at once: nothing grows, and nothing is left."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from provision.environment import Environment
from provision.kafka.levels import Level
from provision.pipeline import UpOptions
from tests.engine import Provision, image, write_environment
from tests.footprint import Footprint, grows_not_by, of_home, of_this_process

pytestmark = pytest.mark.row("apart")

NAME = "cycled"
SMALL = "brokers: {port: auto, heap: 128m}\n"
FEW_AND_MANY = pytest.mark.parametrize(
    "times",
    [
        pytest.param(5, marks=pytest.mark.group(docker="soak", process="matrix")),
        pytest.param(30, marks=pytest.mark.soak),
    ],
)
FOUR_AND_TWENTY = pytest.mark.parametrize(
    "count",
    [
        pytest.param(4, marks=pytest.mark.group(docker="matrix", process="soak")),
        pytest.param(20, marks=pytest.mark.soak),
    ],
)


@FEW_AND_MANY
def test_cycles_in_one_process_leave_what_they_found(provision: Provision, tmp_path: Path, times: int) -> None:
    env = write_environment(tmp_path, NAME, SMALL)
    overrides = [f"runtime={provision.runtime}", f"kafka.version={provision.version}"]
    if provision.runtime == "docker":
        overrides.append(f"kafka.image={image()}")
    provision.started.add(NAME)
    servers: list[str] = []

    def cycle() -> None:
        with closing(Environment(env, overrides=overrides, home=provision.home)) as environment:
            environment.up(UpOptions(timeout_s=240.0, until=Level.BROKERS))
            servers.append(environment.bootstrap_servers)
            environment.down()

    def footprint() -> Footprint:
        traces = provision.traces(NAME)  # first: the test's own connection to the engine is opened by that
        return {**of_this_process(), **of_home(provision.home), "memory": [], "traces": traces}

    grows_not_by(cycle, times, footprint)
    assert provision.traces(NAME) == []
    assert len(servers) == times


@FOUR_AND_TWENTY
def test_many_environments_at_once_are_all_right_and_leave_nothing(
    provision: Provision, tmp_path: Path, count: int
) -> None:
    names = [f"crowd-{number}" for number in range(count)]
    envs = [write_environment(tmp_path, name, SMALL) for name in names]
    with ThreadPoolExecutor(max_workers=count) as pool:  # each of them is a process
        ups = list(
            pool.map(lambda env: provision("up", env, "--until", "brokers", "--timeout", "200s", "-o", "json"), envs)
        )
        assert [up.err for up in ups if up.code] == []
        servers = [json.loads(up.out)["bootstrap_servers"] for up in ups]
        assert len(set(servers)) == count
        shown = list(pool.map(lambda name: json.loads(provision.ok("status", name, "-o", "json")), names))
        assert [one["bootstrap_servers"] for one in shown] == servers
        assert {node["state"] for one in shown for node in one["nodes"]} == {"running"}
        downs = list(pool.map(lambda name: provision("down", name), names))
    assert [down.err for down in downs if down.code] == []
    assert [trace for name in names for trace in provision.traces(name)] == []
    assert json.loads((provision.home / "ports.json").read_text()) == {}
