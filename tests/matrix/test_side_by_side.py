"""Several commands for one environment at once, with real nodes: one works, and what it leaves is whole."""

import json
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.engine import DEFAULT_VERSION, Provision, engine, image, java, wait_until, write_environment

pytestmark = pytest.mark.row("apart")  # a name stands for one environment of the engine, and `gc` looks at all of it

PATIENCE_S = 120
at_two_points = pytest.mark.parametrize(
    "at",
    [
        pytest.param("storage broker-1 created", marks=pytest.mark.group(docker="matrix", process="soak")),
        pytest.param("broker-1 started", marks=pytest.mark.group(docker="soak", process="matrix")),
    ],
)
FILE = "brokers: {port: auto}\ntopics: [{name: t}]\n"
BUSY = re.compile(r"^error: \S+ is being changed by `provision \w+` \(.+, pid \d+ on .+, since .+\)\n", re.MULTILINE)


@pytest.fixture(
    params=[pytest.param("docker", marks=pytest.mark.engine), pytest.param("process", marks=pytest.mark.process)]
)
def provision(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Provision]:
    """The command line with a home of its own; afterwards nothing is left."""
    if request.param == "docker":
        engine()
        image()
    else:
        java(DEFAULT_VERSION)
    made = Provision(tmp_path / "home", request.param)
    yield made
    if made.started:
        made.ok("down", *sorted(made.started), "--force")
    assert [trace for environment in made.started for trace in made.traces(environment)] == []
    assert list((made.home / "locks").iterdir()) == []


def another_home(provision: Provision, tmp_path: Path) -> Provision:
    return Provision(tmp_path / "another home", provision.runtime)


def is_whole(provision: Provision, name: str) -> bool:
    """Whether it is ready; if not, nothing of it is there."""
    status = provision("status", name, "-o", "json")
    if status.code == 64:
        assert provision.traces(name) == []
        return False
    assert status.code == 0, status.err
    # A broker of a busy machine may miss one look.
    ready = wait_until(lambda: json.loads(provision.ok("status", name, "-o", "json"))["ready"])
    assert ready, provision("status", name).out
    return True


def begun(process: subprocess.Popen[str], text: str) -> None:
    """Read until it says that."""
    assert process.stderr
    seen = []
    while text not in (line := process.stderr.readline()):
        seen.append(line)
        assert line, "".join(seen)


def of_several(programs: Sequence[Provision], env: str) -> tuple[list[int], list[str]]:
    """Begin an `up` by each at the same time; the exit codes in their order, and what was said with each.

    The one that works is held until the others have ended, however late a busy machine lets them begin.
    """
    held: list[subprocess.Popen[str]] = []

    def hear(up: subprocess.Popen[str]) -> str:
        assert up.stderr
        said = ""
        for line in up.stderr:
            said += line
            if up not in held and " created" in line:
                up.send_signal(signal.SIGSTOP)
                held.append(up)
        return said

    def only_held_ones_are_left() -> bool:
        return bool(held) and all(up in held or up.poll() is not None for up in ups)

    with ExitStack() as stack, ThreadPoolExecutor(len(programs)) as pool:
        ups = [stack.enter_context(one.start("up", env)) for one in programs]
        heard = [pool.submit(hear, up) for up in ups]
        try:
            assert wait_until(only_held_ones_are_left, PATIENCE_S)
            for up in held:
                up.send_signal(signal.SIGCONT)
            results = sorted(
                (up.wait(PATIENCE_S), said.result(PATIENCE_S)) for up, said in zip(ups, heard, strict=True)
            )
        finally:
            for up in ups:
                up.kill()  # one that has not ended
    return [code for code, _ in results], [said for _, said in results]


@pytest.mark.matrix
def test_of_ten_one_works_and_nine_are_told_who(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "lock-ten", FILE)
    codes, errs = of_several([provision] * 10, env)
    assert codes == [0] + [75] * 9, errs
    assert all(BUSY.search(err) for err in errs[1:])
    assert is_whole(provision, "lock-ten")
    assert "nothing to change" in provision.ok_err("up", env)
    (run,) = json.loads(provision.ok("history", "lock-ten", "-o", "json"))
    assert (run["command"], run["outcome"], run["action_count"]) == ("up", "done", 8)


@pytest.mark.matrix
@pytest.mark.parametrize("provision", [pytest.param("docker", marks=pytest.mark.engine)], indirect=True)
def test_of_two_homes_with_one_engine_one_works(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "lock-two", FILE)
    other = another_home(provision, tmp_path)
    codes, errs = of_several([provision, other], env)
    assert codes == [0, 75], errs
    assert BUSY.search(errs[1]), errs[1]
    assert is_whole(provision, "lock-two")


def is_asked_to_end(provision: Provision, name: str) -> bool:
    """Whether a lock has what takes it from its holder."""
    if provision.runtime == "docker":
        found = engine().api.volumes(filters={"label": f"provision.environment={name}"})["Volumes"] or ()
        return any(str(one["Labels"].get("provision.note")).startswith("lock.") for one in found)
    return any("down" in file.read_text() for file in (provision.home / "locks").glob(f"{name}*"))


@at_two_points
def test_what_a_killed_command_held_is_free_for_the_next(provision: Provision, tmp_path: Path, at: str) -> None:
    env = write_environment(tmp_path, "lock-kill", FILE)
    with provision.start("up", env) as killed:
        begun(killed, at)
        killed.kill()
    assert provision("status", "lock-kill").err.startswith("lock-kill: the last change was killed: `provision up` (")
    other = another_home(provision, tmp_path) if provision.runtime == "docker" else provision
    said = other.ok_err("up", env)
    if other is not provision:  # what was killed is told in the home that did it
        said = provision.ok_err("up", env)
    assert "the last change was killed: `provision up`" in said
    assert is_whole(provision, "lock-kill")
    assert "the last change was killed" not in provision.ok_err("status", "lock-kill")
    runs = json.loads(provision.ok("history", "lock-kill", "-o", "json"))
    # The environment knows of what another home did, too.
    assert [run["outcome"] for run in runs] == ["killed", *["done"] * (1 if other is provision else 2)]
    actions = json.loads(provision.ok("history", "lock-kill", "--run", runs[0]["run"], "-o", "json"))["actions"]
    assert {"resource": "storage broker-1", "verb": "create"}.items() <= {
        key: value for action in actions if action["resource"] == "storage broker-1" for key, value in action.items()
    }.items()


@at_two_points
def test_the_doctor_tells_an_up_that_runs_from_one_that_was_killed(
    provision: Provision, tmp_path: Path, at: str
) -> None:
    env = write_environment(tmp_path, "lock-doctor", FILE)
    with provision.start("up", env) as up:
        begun(up, at)
        up.send_signal(signal.SIGSTOP)  # it goes no further, however long the doctor takes
        looking = another_home(provision, tmp_path) if provision.runtime == "docker" else provision
        for one in (provision, looking):
            found = findings(one, "lock-doctor")
            assert list(found) == ["change-running"]
            assert f"pid {up.pid} on " in found["change-running"]["evidence"][0]
        up.kill()
    assert "change-running" not in findings(provision, "lock-doctor")
    provision.ok("up", env)
    assert wait_until(lambda: findings(provision, env) == {})


def findings(provision: Provision, env: str) -> dict[str, dict[str, Any]]:
    result = provision("doctor", env, "-o", "json")
    assert result.code in (0, 1), result.err
    return {one["id"]: one for one in json.loads(result.out)["findings"]}


@at_two_points
def test_down_by_force_ends_an_up_and_leaves_nothing(provision: Provision, tmp_path: Path, at: str) -> None:
    env = write_environment(tmp_path, "lock-force", FILE)
    with provision.start("up", env) as up:
        begun(up, at)
        other = another_home(provision, tmp_path) if provision.runtime == "docker" else provision
        up.send_signal(signal.SIGSTOP)  # it goes no further until it is asked to end, however long that takes
        assert other("down", "lock-force").code == 75
        with other.start("down", "lock-force", "--force") as down:
            begun(down, "; taking over from it")
            assert wait_until(lambda: is_asked_to_end(provision, "lock-force"))
            up.send_signal(signal.SIGCONT)
            _, said = down.communicate(timeout=60)
        assert down.returncode == 0, said
        assert provision.traces("lock-force") == []
        _, err = up.communicate(timeout=60)
    assert up.returncode == 75, err
    assert "lock-force was taken over by `provision down` (" in err
    assert "this command has stopped, and has removed nothing" in err
    assert provision.traces("lock-force") == []


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.matrix if seed < 2 else pytest.mark.soak) for seed in range(20)]
)
def test_up_against_down_is_never_half_made(provision: Provision, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 no secret
    env = write_environment(tmp_path, "lock-race", FILE)
    down_by = another_home(provision, tmp_path) if provision.runtime == "docker" and seed % 2 else provision
    if seed % 3 == 0:
        provision.ok("up", env)
    with ThreadPoolExecutor(2) as pool:

        def later(one: Provision, *arguments: str, after_s: float) -> int:
            time.sleep(after_s)
            return one(*arguments).code

        up = pool.submit(later, provision, "up", env, after_s=chance.uniform(0, 2))
        down = pool.submit(later, down_by, "down", "lock-race", after_s=chance.uniform(0, 6))
        codes = (up.result(), down.result())
    assert 0 in codes
    assert set(codes) <= {0, 75}
    whole = is_whole(provision, "lock-race")
    if codes != (0, 0):  # one of them was refused, and what the other made of it is there
        assert whole == (codes == (0, 75))
    provision.ok("up", env)
    assert wait_until(lambda: is_whole(provision, "lock-race"))
