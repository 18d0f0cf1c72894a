"""A secret that stands in the wrong place of the sections about security is in no message, wherever that is."""

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.cluster.layout import container_layout
from provision.cluster.resolve import resolve_without_ports
from provision.errors import ProvisionError
from provision.events import Event
from provision.home.place import Home
from provision.operations.securing import material_of
from provision.plan.observed import ObservedEnvironment
from provision.runtime.fake import FakeRuntime
from provision.spec.acls import AclSpec
from provision.spec.certificates import AuthoritySpec, CertificatesSpec
from provision.spec.listeners import ListenerSpec
from provision.spec.loader import load, load_values
from provision.spec.shown import HIDDEN, WORDS, public_names, shown_parts
from provision.spec.users import PasswordSpec, UserSpec
from provision.spec.yaml_text import Positions
from tests.examples import many

NOTHING = ObservedEnvironment("orders", "docker")
FILE: dict[str, Any] = {
    "brokers": {"nodes": 1},
    "security": {"INTERNAL": "sasl-tls", "secure": "sasl-tls"},
    "listeners": {"plain": {"port": "auto", "security": "tls"}, "secure": {"port": 9094}},
    "users": [
        {"name": "app", "password": {"env": "APP_PASSWORD"}, "allow": ["read topic orders"]},
        {"name": "ops", "password": {"file": "ops.password"}, "mechanism": "SCRAM-SHA-256", "super": True},
        {"name": "job", "mechanism": "SCRAM-SHA-512", "iterations": 4096},
    ],
    "acls": [
        {"user": "app", "allow": ["write topic orders.*"]},
        {
            "principal": "User:app",
            "operation": "read",
            "resource": "group",
            "name": "app",
            "pattern": "prefixed",
            "permission": "allow",
            "host": "10.0.0.1",
        },
    ],
}
SECTIONS = ("security", "listeners", "users", "acls")
VALUE, KEY, MORE, BRACES, ENTRY = "value", "key", "more", "braces", "entry"
"""The secret takes the place of a value, or of its key; it is one more key; or it is in braces, or in a list."""
Place = tuple[str | int, ...]


def _places(value: object, path: Place) -> Iterator[Place]:
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in pairs:
        yield from _places(below, (*path, key))


PLACES = [place for section in SECTIONS for place in _places(FILE[section], (section,))]


def is_public(place: Place, how: str) -> bool:
    """Whether what stands there is the name of a user or of a listener, which the whole cluster is to know."""
    if place == ("listeners",):
        return how in (KEY, "")  # all of them stand below it then, as if it were one with them as keys
    if how == KEY:
        return len(place) == 2 and place[0] == "listeners"
    return how == VALUE and place[0] == "users" and place[2:] == ("name",)


def _with(place: Place, how: str, secret: str | int) -> dict[str, Any]:
    """The file with a secret in that place."""
    data = copy.deepcopy(FILE)
    target: Any = data
    for part in place[:-1]:
        target = target[part]
    there, last = target[place[-1]], place[-1]
    match how:
        case "value":
            target[last] = secret
        case "braces":
            target[last] = {secret: None}
        case "entry":
            target[last] = [secret]
        case "more" if isinstance(there, dict):
            there[secret] = "x"
        case "key" if isinstance(target, dict) and len(place) > 1:
            target[secret] = target.pop(last)
        case _:
            target[last] = f"{secret} {there}" if isinstance(there, str) else {secret: there}
    return data


_secret = st.from_regex(r"\A[A-Za-z][A-Za-z0-9_-]{11,20}\Z") | st.integers(10**9, 10**12)
_odd = st.from_regex(r"\A[A-Za-z0-9 !$%/.:=@^~+-]{12,40}\Z")


def told_of(data: dict[str, Any], directory: Path, overrides: tuple[str, ...] = ()) -> str:
    """All that is said of a file, when it is read and when its secrets are asked for."""
    file = directory / "orders.yaml"
    file.write_text(yaml.safe_dump(data))
    said: list[str] = []

    def tell(event: Event) -> None:
        said.append(str(event))

    for values in (None, {"name": "orders", **data}):
        try:
            spec = load(file, overrides, tell) if values is None else load_values(values, overrides, tell)
            material_of(
                resolve_without_ports(spec, container_layout(spec), str(directory)),
                NOTHING,
                Home.at(directory / "home"),
                FakeRuntime(),
            )
        except ProvisionError as error:
            said += [error.what, str(error.why), str(error.hint)]
    return json.dumps(said, ensure_ascii=False)


@settings(
    max_examples=many(200, thorough=3000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.sampled_from(PLACES), how=st.sampled_from([VALUE, KEY, MORE, BRACES, ENTRY, ""]), secret=_secret | _odd)
def test_it_is_in_no_message_unless_the_place_is_that_of_a_public_name(
    tmp_path: Path, place: Place, how: str, secret: str | int
) -> None:
    told = told_of(_with(place, how, secret), tmp_path)
    if not is_public(place, how):
        assert str(secret) not in told.replace(str(tmp_path), "")


@settings(
    max_examples=many(100, thorough=1000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.sampled_from(PLACES), secret=_secret, below=st.booleans(), as_value=st.booleans())
def test_nor_is_one_in_an_option(
    tmp_path: Path, place: Place, secret: str | int, *, below: bool, as_value: bool
) -> None:
    key = ".".join(map(str, place))
    parts = (f"{key}.{secret}" if below or len(place) == 1 else key.rpartition(".")[0] + f".{secret}", "x")
    option = f"{key}={secret}" if as_value else "=".join(parts)
    told = told_of(FILE, tmp_path, (option,))
    if not (as_value and is_public(place, VALUE)):
        assert str(secret) not in told.replace(str(tmp_path), "")


@pytest.mark.parametrize(
    "text",
    [
        "security: {SECRET}",
        "security: {SECRET: tls, secret: tls, SECRET: mtls}",
        "security: !SECRET tls",
        "listeners: {SECRET}",
        "listeners: {a: &SECRET {}, b: *SECRETS}",
        "listeners: {12345678: {}}",
        "users: [{name: !!int SECRET}]",
        "users: {12345678: !x y}",
        "acls: [SECRET: x, SECRET: y]",
        "acls: [{name: *SECRET}]",
        "acls: [{user: app, allow: [SECRET]}]",
    ],
)
def test_nor_where_yaml_makes_something_else_of_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text(f"brokers: {{nodes: 3}}\n{text.replace('SECRET', 'xyzzy0pens3same')}\n")
    with pytest.raises(ProvisionError) as caught:
        load(file)
    told = f"{caught.value} {caught.value.why} {caught.value.hint}".replace(str(tmp_path), "")
    assert "orders.yaml:2:" in told
    assert "xyzzy0pens3same" not in told.lower()
    assert "12345678" not in told


def test_the_shown_words_are_the_keys_that_there_are() -> None:
    models = {
        "users": (UserSpec, PasswordSpec),
        "acls": (AclSpec,),
        "certificates": (CertificatesSpec, AuthoritySpec),
        "listeners": (ListenerSpec,),
        "security": (),
    }
    assert {name: {key for model in of for key in model.model_fields} for name, of in models.items()} == WORDS


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("users", 0, "name"), "users[0].name"),
        (("users", 0, "nmae"), f"users[0].{HIDDEN}"),
        (("users", 1, "password", "hunter2"), f"users[1].password.{HIDDEN}"),
        (("listeners", "plain", "port"), "listeners.plain.port"),
        (("listeners", "hunter2", "port"), f"listeners.{HIDDEN}.port"),
        (("security", "Plain"), "security.Plain"),
        (("security", "controllers"), "security.controllers"),
        (("security", "hunter2"), f"security.{HIDDEN}"),
        (("brokers", "properties", "hunter2"), "brokers.properties.hunter2"),
        (("users", 12345678), f"users.{HIDDEN}"),
    ],
)
def test_a_path_is_shown_as_far_as_it_is_no_secret(path: Place, shown: str) -> None:
    positions = Positions("orders.yaml", keys={("users", 12345678): (1, 1)}, names=public_names(FILE))
    assert positions.shown(path) == shown
    assert shown_parts(()) == ()


def test_what_leads_to_something_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = {"name": "app", "password": {"file": "of-app"}}
    data = {"security": "sasl-tls", "users": [user]}
    monkeypatch.chdir(tmp_path)
    assert "of-app" not in told_of(data, tmp_path)
    (tmp_path / "of-app").touch()
    os.chmod(tmp_path / "of-app", 0o600)  # noqa: PTH101 as a user does it
    assert "of-app has no password for the user app" in told_of(data, tmp_path)
    user["password"] = {"env": "OF_APP"}
    assert "OF_APP" not in told_of(data, tmp_path)
    monkeypatch.setenv("OF_APP", "")
    assert "the environment variable OF_APP has no password for the user app" in told_of(data, tmp_path)
