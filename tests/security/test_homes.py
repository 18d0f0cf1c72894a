"""The secrets of an environment go with it to another home, and are known again on a machine with another name."""

from pathlib import Path
from typing import Any

import pytest

from provision import Environment
from provision.errors import ProvisionError, Refused
from provision.events import Notice
from provision.observe.reach import access_to
from provision.pipeline import UpOptions
from provision.security.material import Rotation
from provision.security.store import SecretStore
from tests.runtimes import FakeRuntimes
from tests.security.test_environments import NAME, RUNNING, Closed

SECURED = ("tls", "mtls", "sasl-plain", "sasl-scram", "sasl-tls")
ENCRYPTED = ("tls", "mtls", "sasl-tls")


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Closed:
    made = Closed(tmp_path)
    made.kafka.speak(monkeypatch)
    return made


class Other:
    """Another home of the same user, with the same engine."""

    def __init__(self, closed: Closed, directory: Path) -> None:
        self.closed = closed
        self.runtimes = FakeRuntimes(directory, closed.runtime)

    @property
    def store(self) -> SecretStore:
        """Where secrets of that name are in it."""
        return self.runtimes.home.secrets(NAME)

    def of(self, security: str, *, take_over: bool = True, file: Path | None = None) -> Environment:
        """The environment, as it is described there."""
        values: dict[str, Any] = {"name": NAME, "brokers": {"nodes": 2, "port": "auto"}, "security": security}
        return Environment(
            file,
            on_event=self.closed.told.append,
            runtimes=self.runtimes,
            take_over=take_over,
            **({} if file else values),
        )


@pytest.fixture
def other(closed: Closed, tmp_path: Path) -> Other:
    return Other(closed, tmp_path / "other")


def content(store: SecretStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.directory.iterdir()} if store.directory.exists() else {}


def is_let_in(closed: Closed) -> bool:
    access = access_to(closed.runtime.observe(NAME))
    return sorted(access.brokers) == [1, 2] and not access.down


@pytest.mark.parametrize("security", SECURED)
def test_secrets_go_to_the_home_that_takes_the_environment_over(closed: Closed, other: Other, security: str) -> None:
    closed.of(security).up()
    before = content(closed.store)
    assert not other.of(security).up().changed
    assert content(other.store) == before
    assert content(closed.store) == {}
    assert [one.text for one in closed.told if isinstance(one, Notice) and "its secrets are in" in one.text]
    assert is_let_in(closed)
    assert not other.of(security, take_over=False).plan().plan.changes
    assert not closed.of(security).plan().plan.changes
    if security in ENCRYPTED:
        other.of(security).up(UpOptions(rotation=Rotation.BEGIN))
        assert content(closed.store) == {}
    closed.looks_away()
    other.of(security).down()
    assert content(other.store) == content(closed.store) == {}


def test_another_file_that_says_the_name_brings_them_too(closed: Closed, other: Other, tmp_path: Path) -> None:
    closed.of("mtls").up()
    before = content(closed.store)
    file = tmp_path / "its.yaml"
    file.write_text(f"name: {NAME}\nsecurity: mtls\nbrokers: {{nodes: 2, port: auto}}\n")
    assert not other.of("mtls", take_over=False, file=file).up().changed
    assert (content(other.store), content(closed.store)) == (before, {})
    assert is_let_in(closed)


def test_they_stay_where_they_are_if_it_does_not_come_to_that(closed: Closed, other: Other) -> None:
    closed.of("mtls").up()
    before = content(closed.store)

    def refuse(_plan: object) -> None:
        raise Refused("no")

    other.of("mtls").plan()
    with pytest.raises(Refused):
        other.of("mtls").up(agree=refuse)
    assert content(other.store) == {}

    def fail(verb: str, _subject: str) -> None:
        if verb == "write_about":
            raise ProvisionError("the engine is gone")

    on_verb, closed.runtime.on_verb = closed.runtime.on_verb, fail
    with pytest.raises(ProvisionError, match="the engine is gone"):
        other.of("mtls").up()
    assert content(closed.store) == before
    assert is_let_in(closed)
    closed.runtime.on_verb = on_verb
    assert not other.of("mtls").up().changed
    assert content(closed.store) == {}


def test_secrets_of_another_environment_are_not_overwritten(closed: Closed, other: Other) -> None:
    closed.of("mtls").up()
    other.store.keep({"identity": b"another", "ca.key": b"of another"})
    before, theirs, about = content(closed.store), content(other.store), closed.runtime.abouts()[NAME]
    with pytest.raises(Refused, match="has secrets of another environment"):
        other.of("mtls").up()
    assert (content(closed.store), content(other.store)) == (before, theirs)
    assert closed.runtime.abouts()[NAME] == about
    assert is_let_in(closed)


def test_a_return_over_kept_data_that_fails_leaves_them_where_they_were(closed: Closed, other: Other) -> None:
    closed.of("mtls").up()
    before = content(closed.store)
    closed.looks_away()
    closed.of("mtls").down(keep_data=True)

    def fail(verb: str, subject: str) -> None:
        if (verb, subject) == ("start_node", "broker-2"):
            raise ProvisionError("it does not start")

    closed.runtime.on_verb = fail
    with pytest.raises(ProvisionError, match="it does not start"):
        other.of("mtls").up(RUNNING)
    assert content(closed.store) == before
    assert content(other.store) == {}
    closed.looks_away()
    closed.of("mtls").up(RUNNING)
    assert closed.store.read("ca.key") == before["ca.key"]


# -- machines ---------------------------------------------------------------------------------------------------------


def rename_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("home.secrets", "operations.whose", "plan.about"):
        monkeypatch.setattr(f"provision.{module}.host_name", lambda: "renamed")


@pytest.mark.parametrize("security", SECURED)
def test_a_machine_with_another_name_still_has_the_secrets(
    closed: Closed, security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed.of(security).up()
    before = content(closed.store)
    rename_machine(monkeypatch)
    assert is_let_in(closed)
    assert not closed.of(security).plan().plan.changes
    assert not closed.of(security).up().changed
    assert (content(closed.store), is_let_in(closed)) == (before, True)
    kinds = {one.kind for one in closed.of(security).certificates()}
    assert ("zookeeper authority" in kinds, "authority" in kinds) == (True, security in ENCRYPTED)
    closed.looks_away()
    closed.of(security).down()
    assert content(closed.store) == {}


@pytest.mark.parametrize("security", SECURED)
@pytest.mark.parametrize("theirs", [True, False], ids=["with the same name there", "with nothing there"])
def test_the_same_path_on_another_machine_does_not_have_them(
    closed: Closed, security: str, monkeypatch: pytest.MonkeyPatch, *, theirs: bool
) -> None:
    closed.of(security).up()
    files = content(closed.store)
    closed.store.forget()
    if theirs:
        closed.store.keep({**files, "identity": b"another"})
    before = content(closed.store)
    rename_machine(monkeypatch)
    assert not access_to(closed.runtime.observe(NAME)).brokers
    for command in (closed.of(security).plan, closed.of(security).up):
        with pytest.raises(Refused, match=f"the secrets of {NAME} are not in"):
            command()
    assert content(closed.store) == before


def test_an_environment_of_another_machine_is_this_ones_once_it_is_made_anew_here(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed.of("mtls").up()
    closed.looks_away()
    closed.of("mtls").down(keep_data=True)
    closed.store.forget()
    about = closed.runtime.abouts()[NAME]
    closed.runtime.write_about(NAME, about.model_copy(update={"host": "far-away", "home": "/home/of/it"}))
    closed.of("mtls").up(RUNNING)
    known = closed.runtime.abouts()[NAME]
    assert (known.host, known.home) == (closed.runtime.abouts()[NAME].host, str(closed.home))
    assert is_let_in(closed)


# -- what is missing --------------------------------------------------------------------------------------------------

NEEDED = {
    "tls": ["ca.key", "ensemble-ca.key"],
    "mtls": ["ca.key", "ensemble-ca.key"],
    "sasl-plain": ["provision.password", "ensemble-ca.key"],
    "sasl-scram": ["provision.password", "ensemble-ca.key"],
    "sasl-tls": ["ca.key", "provision.password", "ensemble-ca.key"],
}
LOSSES = [(security, name, how) for security, names in NEEDED.items() for name in names for how in ("removed", "empty")]


@pytest.mark.parametrize(("security", "lost", "how"), LOSSES)
def test_nothing_that_nodes_trust_is_made_anew(closed: Closed, security: str, lost: str, how: str) -> None:
    closed.of(security).up()
    closed.store.path(lost).unlink()
    if how == "empty":
        closed.store.keep({lost: b""})
    before = content(closed.store)
    for command in (closed.of(security).plan, closed.of(security).up):
        with pytest.raises(Refused) as caught:
            command()
        assert f"{lost} is missing" in caught.value.why
        assert "down" in caught.value.hint
    assert content(closed.store) == before
    closed.looks_away()
    closed.of(security).down()
    assert content(closed.store) == {}


@pytest.mark.parametrize("security", ["sasl-plain", "sasl-tls"])
def test_without_its_password_the_program_does_not_try(closed: Closed, security: str) -> None:
    closed.of(security).up()
    closed.store.path("provision.password").unlink()
    access = access_to(closed.runtime.observe(NAME))
    assert (access.brokers, sorted(access.down)) == ({}, [1, 2])
    closed.store.keep({"provision.password": b"\xff\xfe"})
    with pytest.raises(ProvisionError, match=r"provision\.password is damaged"):
        closed.of(security).plan()


@pytest.mark.parametrize("security", SECURED)
def test_what_can_be_made_again_is(closed: Closed, security: str) -> None:
    closed.of(security).up()
    needed = {*NEEDED[security], "identity"}
    for name in content(closed.store):
        if name not in needed:
            closed.store.path(name).unlink()
    about = closed.runtime.abouts()[NAME]
    closed.of(security).up()
    again = closed.runtime.abouts()[NAME]
    assert again.model_copy(update={"changes": about.changes}) == about  # it only remembers one more change
    assert is_let_in(closed)


@pytest.mark.parametrize("after", ["sasl-tls", "sasl-plain", "mtls", "plaintext"])
def test_another_security_is_planned_with_what_nodes_trust(closed: Closed, after: str) -> None:
    closed.of("tls").up()
    assert {action.phase for action in closed.of(after).plan().plan.actions} == {"open", "move", "close"}
