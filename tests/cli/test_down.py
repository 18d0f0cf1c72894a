"""`down` of several environments: which ones, who agrees, and that it goes on when one of them cannot be removed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import provision.cli.several
import provision.environment
from provision.cli.run import run
from provision.cluster.resolve import resolve_without_ports
from provision.common.process_identity import host_name
from provision.errors import PartlyApplied, Refused, Unavailable, UsageError
from provision.home.place import Home
from provision.plan.about import About
from provision.runtime.fake import FakeRuntime
from provision.spec.loader import load
from tests.fake_engine import FakeEngine
from tests.runtime.test_refusals import used
from tests.runtimes import Answers, FakeRuntimes

NONE = Unavailable("no Docker engine answers")


def test_the_other_environments_that_down_names_are_removed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    home = Home.of_user()
    for name in ("odd", "even"):
        home.ports.lease(name, ["broker-1"], {})
    with used("network", users=True).on_socket(tmp_path / "engine.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        monkeypatch.chdir(tmp_path)
        assert run(["down", "odd", "even"]) == PartlyApplied.exit_code
    told = capsys.readouterr().err
    assert "even: there is nothing to remove" in told
    assert "the network odd is left" in told
    assert home.ports.held("odd") == home.ports.held("even") == frozenset()


def test_down_tells_what_is_called_like_a_node_of_it_but_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = {"provision.environment": "odd-broker"}  # whose node `broker-1` is called `odd-broker-broker-1`
    container = {"Id": "c", "Labels": {}, "State": "exited", "ImageID": ""}
    volumes = [
        {"Name": "odd-broker-1", "Labels": None},
        {"Name": "odd-zookeeper-1", "Labels": {"provision.environment": "another"}},
        {"Name": "odd-broker-broker-1", "Labels": others},
        {"Name": "odd-broker-x", "Labels": None},
    ]
    answers = {
        "GET /containers/json": (200, [container | {"Names": ["/odd-broker-2"]}, container | {"Names": ["/odd-mine"]}]),
        "GET /volumes": (200, {"Volumes": volumes}),
    }
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with FakeEngine(answers).on_socket(tmp_path / "engine.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        assert run(["down", "odd"]) == 0
    told = capsys.readouterr().err
    assert "`docker volume rm odd-broker-1` removes it" in told
    assert "`docker rm -f odd-broker-2` removes it" in told
    assert told.count("was not made by provision") == 2


OURS: dict[str, Any] = {"host": host_name(), "created_s": 1.0, "user": "ada"}


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """Environments of this home and of others, and one of an earlier version."""
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PROVISION_OWNER", raising=False)
    monkeypatch.chdir(tmp_path)
    runtime = FakeRuntime()
    monkeypatch.setattr(
        provision.environment.described,
        "Runtimes",
        lambda home: FakeRuntimes(home, {"docker": runtime, "process": NONE}),
    )
    home = str(tmp_path / "home")
    abouts = {
        "mine": About(home=home, file="/here/mine.yaml", **OURS),
        "job": About(home=home, owner="job-7", **OURS),
        "of-another-home": About(home="/elsewhere", **OURS),
        "of-another-machine": About(home=home, **{**OURS, "host": "far-away"}),
    }
    for name in (*abouts, "of-an-earlier-version"):
        file = tmp_path / f"{name}.yaml"
        file.write_text("brokers: {port: auto}\n")
        spec = load(file)
        runtimes = FakeRuntimes(tmp_path / "home", runtime)
        layout = runtimes.layout("docker", spec, str(tmp_path))
        runtime.create_network(resolve_without_ports(spec, layout))
        if name in abouts:
            runtime.write_about(name, abouts[name])
    return runtime


@pytest.mark.parametrize(
    ("options", "owner", "removed"),
    [
        (["--all"], "", {"mine"}),
        (["--all"], "job-7", {"job"}),
        (["--all"], "nobody", set()),
        (["--engine"], "", {"mine", "job", "of-another-home", "of-another-machine", "of-an-earlier-version"}),
        (["--all", "--engine"], "", {"mine", "job", "of-another-home", "of-another-machine", "of-an-earlier-version"}),
    ],
)
def test_all_are_those_of_this_home_and_owner_and_engine_means_everybodys(
    several: FakeRuntime,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    owner: str,
    removed: set[str],
) -> None:
    if owner:
        monkeypatch.setenv("PROVISION_OWNER", owner)
    before = set(several.environments())
    assert run(["down", *options]) == (Refused.exit_code if removed else 0)
    told = capsys.readouterr().err
    assert set(several.environments()) == before
    assert all(f"\n{name}: containers" in f"\n{told}" for name in removed)
    assert not any(f"\n{name}: containers" in f"\n{told}" for name in before - removed)
    assert ("--yes agrees" in told) is bool(removed)
    assert run(["down", *options, "--yes"]) == 0
    assert set(several.environments()) == before - removed
    told = capsys.readouterr().err
    assert all(name in told for name in (before if "--all" in options else removed))


def _made_anew(several: FakeRuntime, known: About) -> None:
    several.write_about("mine", known.model_copy(update={"created_s": known.created_s + 1}))


def _of_another_owner(several: FakeRuntime, known: About) -> None:
    several.write_about("mine", known.model_copy(update={"owner": "job-8"}))


def _of_another_home(several: FakeRuntime, known: About) -> None:
    several.write_about("mine", known.model_copy(update={"home": "/elsewhere"}))


def _of_another_file(several: FakeRuntime, known: About) -> None:
    several.write_about("mine", known.model_copy(update={"file": "/here/another.yaml"}))


def _used_again(several: FakeRuntime, known: About) -> None:
    several.write_about("mine", known.model_copy(update={"ttl_s": 60.0}))


def _gone(several: FakeRuntime, _known: About) -> None:
    several.remove_network("mine")


MEANWHILE: dict[str, tuple[Callable[[FakeRuntime, About], None], str]] = {
    "it was made anew": (_made_anew, "it was made anew since it was listed"),
    "another owner has it": (_of_another_owner, "it has another file, home or owner since it was listed"),
    "another home has it": (_of_another_home, "it has another file, home or owner since it was listed"),
    "another file has it": (_of_another_file, "it has another file, home or owner since it was listed"),
    "it was changed": (_used_again, ""),
    "it is gone": (_gone, ""),
}


@pytest.mark.parametrize("case", MEANWHILE)
@pytest.mark.parametrize("option", ["--all", "--engine"])
def test_what_is_another_one_since_it_was_listed_is_left_and_so_is_what_has_come_since(
    several: FakeRuntime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
    option: str,
) -> None:
    meanwhile, why = MEANWHILE[case]

    def agree(*_: object) -> None:
        meanwhile(several, several.abouts()["mine"])
        spec = load(tmp_path / "mine.yaml").model_copy(update={"name": "newcomer"})
        layout = FakeRuntimes(tmp_path / "home", several).layout("docker", spec, str(tmp_path))
        several.create_network(resolve_without_ports(spec, layout))
        several.write_about("newcomer", several.abouts()["job"])

    monkeypatch.setattr(provision.cli.several, "require_agreement", agree)
    assert run(["down", option]) == (Refused.exit_code if why else 0)
    told = capsys.readouterr().err
    assert why in told
    assert ("mine" in several.environments()) is bool(why)
    assert "newcomer" in several.environments()
    assert ("job" in several.environments()) is (option == "--all")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (["down", "--engine"], Unavailable.exit_code),
        (["down", "--engine", "--yes"], Unavailable.exit_code),
        (["down", "--all", "--engine", "--yes"], Unavailable.exit_code),
        (["down", "--all", "--yes"], 0),
        (["list"], 0),
        (["list", "-o", "json"], 0),
        (["gc", "--dry-run"], 0),
    ],
)
def test_an_engine_that_does_not_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: list[str], code: int
) -> None:
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    answers: Answers = {"docker": NONE, "process": FakeRuntime()}
    monkeypatch.setattr(provision.environment.described, "Runtimes", lambda home: FakeRuntimes(home, answers))
    assert run(line) == code
    told = capsys.readouterr().err
    assert told.count("no Docker engine answers") == 1
    assert ("looking at plain processes only" in told) is (code == 0)
    assert ("there is nothing to remove" in told) is (line == ["down", "--all", "--yes"])


@pytest.mark.parametrize("option", ["--all", "--engine"])
def test_several_environments_are_removed_without_names(option: str) -> None:
    assert run(["down", option, "orders"]) == UsageError.exit_code


def test_caches_are_removed_only_with_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", "shop", "--caches"]) == 64
    assert "--caches goes with --all\n  all environments share the caches" in capsys.readouterr().err
