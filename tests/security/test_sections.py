"""Whatever stands in `security`, `users` and `acls`: one clear error or a cluster, and no message tells a password."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.catalogue.versions import KRAFT
from provision.cli.run import run
from provision.cluster.layout import container_layout
from provision.cluster.render import render
from provision.cluster.resolve import resolve_without_ports
from provision.errors import InvalidEnvironment, Problem, UsageError
from provision.home.place import Home
from provision.operations.securing import material_of
from provision.plan.observed import ObservedEnvironment
from provision.runtime.fake import FakeRuntime
from provision.runtime.process.layout import local_layout
from provision.security.acls import ALL_OPERATIONS, OPERATIONS, Acl
from provision.security.profiles import PROFILES, quoted
from provision.spec.acls import declared_acls
from provision.spec.loader import load, load_values
from tests.examples import many

WORD = "xyzzy-0pen-s3same"
NOTHING = ObservedEnvironment("orders", "docker")
_scalar = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5)
_anything = _scalar | st.lists(_scalar, max_size=3) | st.dictionaries(st.sampled_from(["name", "x"]), _scalar)
_word = _anything | st.just(WORD) | st.just([WORD]) | st.just({"name": WORD})
_password = (
    st.fixed_dictionaries({}, optional={"env": _word, "file": _word, "value": _word, WORD: _word})
    | st.just({WORD: None})  # as YAML reads {s3cret}
    | _word
)
_said = st.sampled_from(
    ["read", "write", "READ", "describe_configs", "all", "topic", "topics", "group", "cluster", "user", "orders", "o*"]
)
_text = st.lists(_said | st.sampled_from([WORD, f"{WORD}*", "*", "a*b", "\t", "ä", "'"]), max_size=4).map(" ".join)
_allow = st.lists(_text | _word, max_size=3) | _word
_name = st.sampled_from(["app", "provision", "ops", "a b", f"app:{WORD}"]) | st.integers()
_user = st.fixed_dictionaries(
    {},
    optional={
        "name": _name,
        "password": _password,
        "mechanism": st.sampled_from(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "plain"]) | _word,
        "iterations": st.sampled_from([4096, 16384, 1]) | _word,
        "allow": _allow,
        "super": st.booleans() | _word,
    },
)
_acl = st.fixed_dictionaries(
    {},
    optional={
        "user": _name | _word,
        "principal": st.sampled_from(["User:app", "User:ops", "User:provision", "app"]) | _word,
        "allow": _allow,
        **dict.fromkeys(("operation", "resource", "name"), _said | _word),
        "pattern": st.sampled_from(["literal", "prefixed"]) | _word,
        "permission": st.sampled_from(["allow", "deny"]) | _word,
        "host": st.just("10.0.0.1") | _word,
        "hots": _word,
    },
)
_acls = st.lists(_acl | _word, max_size=3) | _word
_users = st.lists(_user | _word, max_size=3) | _word
_profile = st.sampled_from([*PROFILES, "ssl", ""]) | _word
_security = st.dictionaries(st.sampled_from(["HOST", "internal", "CONTROLLER", "x"]), _profile, max_size=3) | _profile


@settings(
    max_examples=many(150, thorough=3000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(security=_security, users=_users, acls=_acls | st.just(None), mode=st.sampled_from(["zookeeper", "kraft"]))
def test_there_is_a_cluster_or_a_clear_error_without_a_password(
    tmp_path: Path, security: object, users: object, acls: object, mode: str
) -> None:
    file = tmp_path / "orders.yaml"
    described = {"security": security, "users": users, "kafka": {"mode": mode}}
    file.write_text(yaml.safe_dump(described | ({} if acls is None else {"acls": acls})))
    try:
        spec = load(file)
    except InvalidEnvironment as error:
        problems = [str(problem) for problem in error.problems]
    else:
        # No password is there either.
        problems = [
            file.text
            for layout in (container_layout(spec), local_layout(spec, str(tmp_path), Home.at(tmp_path / "home")))
            for file in render(resolve_without_ports(spec, layout))
        ]
    assert problems
    assert WORD not in json.dumps(problems)


@pytest.mark.parametrize(
    "text",
    [
        "users: [{name: app, password: {WORD}}]",
        "users: [{name: app, password: {env: A, WORD: x, WORD: y}}]",
        "users: [{name: app, password: !WORD x}]",
        "users: [{name: app, password: !!int WORD}]",
        "users: [{name: app, password: *WORD}]",
        "users: [{name: app, password: {file: !!float WORD}}]",
        "users: [{name: app, password: [WORD]}]",
        "users: [WORD]",
        "users: [app:WORD]",
        "users: [{name: app WORD}]",
        "users: {app: WORD}",
        "users: WORD",
        "certificates: {authority: {WORD}}",
        "certificates: {authority: {key: WORD, certificate: [WORD]}}",
        "certificates: {authority: WORD}",
        "certificates: WORD",
    ],
)
def test_a_secret_in_the_wrong_place_is_in_no_message_whatever_yaml_makes_of_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text(f"security: sasl-tls\n{text.replace('WORD', 'xyzzy0pens3same')}\n")
    with pytest.raises(InvalidEnvironment) as caught:
        load(file)
    assert [
        problem for problem in map(str, caught.value.problems) if "xyzzy0pens3same" in problem.replace(str(file), "")
    ] == []
    with pytest.raises((InvalidEnvironment, UsageError)) as caught_too:
        load_values(
            {"name": "orders", "security": "sasl-tls", "users": [{"name": "app"}]}, ("users.0.password.WORD=x",)
        )
    assert "WORD" not in f"{caught_too.value} {caught_too.value.why}"


# Nearly right: most words fit, so that whatever has to fit together is reached.
_plausible = st.builds(
    lambda *words: " ".join(words),
    st.sampled_from(["read", "write", "describe", "all", "create", "reed"]),
    st.sampled_from(["topic", "topic", "group", "cluster", "transactional-id", "topics"]),
    st.sampled_from(["orders", "orders.*", "*", WORD, "", "a b", "a*b"]),
)
_right_acl = st.fixed_dictionaries(
    {"operation": st.sampled_from(ALL_OPERATIONS), "resource": st.sampled_from([*OPERATIONS])},
    optional={
        "user": st.sampled_from(["app", "ops", "*", WORD]),
        "principal": st.sampled_from(["User:app", "User:ops", "User:provision", f"User:{WORD}"]),
        "name": st.sampled_from(["orders", "*", "a b", "a*", WORD]),
        "pattern": st.sampled_from(["literal", "prefixed"]),
        "permission": st.sampled_from(["allow", "deny"]),
        "host": st.sampled_from(["*", "10.0.0.1", "::1"]),
    },
)
_short_acl = st.fixed_dictionaries(
    {"user": st.sampled_from(["app", "ops", "*"]), "allow": st.lists(_plausible, max_size=2)}
)


@settings(max_examples=many(150, thorough=1000), deadline=None)
@given(
    allow=st.lists(_plausible, max_size=2),
    supers=st.booleans(),
    acls=st.lists(_right_acl | _short_acl, max_size=2),
    security=st.sampled_from(["mtls", "sasl-plain", "sasl-tls", "sasl-tls", "tls"]),
)
def test_permissions_are_kafkas_or_there_is_a_clear_error_without_a_word_of_them(
    allow: list[str], supers: bool, acls: list[dict[str, object]], security: str
) -> None:
    users = [{"name": "app", "allow": allow}, {"name": "ops", "super": supers}]
    found: tuple[Acl, ...] = ()
    problems: tuple[Problem, ...] = ()
    try:
        found = declared_acls(load_values({"name": "orders", "security": security, "users": users, "acls": acls})) or ()
    except InvalidEnvironment as error:
        problems = error.problems
        assert problems
    for problem in problems:
        assert problem.path.startswith(("users", "acls"))
        assert problem.message
        assert WORD not in str(problem)
    for acl in found:
        assert acl.operation in OPERATIONS[acl.resource]
        assert acl.name == "*" or "*" not in acl.name
        assert acl.allowed or acl.principal not in {"User:provision", *(["User:ops"] if supers else [])}
        assert (acl.resource == "cluster") == (acl.name == "kafka-cluster")
        assert acl.principal.startswith("User:")


@pytest.mark.parametrize("mode", ["zookeeper", KRAFT])
@pytest.mark.parametrize("security", PROFILES)
def test_every_listener_has_its_profiles_protocol(tmp_path: Path, mode: str, security: str) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text(f"security: {security}\nkafka: {{mode: {mode}}}\nbrokers: {{nodes: 4}}\n")
    cluster = resolve_without_ports(spec := load(file), container_layout(spec))
    profile = PROFILES[security]
    controllers = "SSL" if profile.encrypted else profile.protocol
    controllers = "CONTROLLER:PLAINTEXT" if controllers == "PLAINTEXT" else f"CONTROLLER_{controllers}:{controllers}"
    own = "" if security == "plaintext" else f"_{security.upper().replace('-', '_')}"
    maps = [
        line.partition("=")[2]
        for file in render(cluster)
        for line in file.text.splitlines()
        if line.startswith("listener.security.protocol.map=")
    ]
    expected = f"INTERNAL{own}:{profile.protocol},HOST{own}:{profile.protocol}"
    assert maps == [f"{expected},{controllers}" if mode == KRAFT else expected] * 4


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "not valid UTF-8"),
        (b"", "has no password"),
        (b"\nsecond line\n", "has no password"),
        (b"bell\x07\n", "control character"),
        (b"next\xc2\x85line\n", "control character"),
        (b"line\xe2\x80\xa8separator\n", "control character"),
    ],
)
def test_a_password_that_cannot_be_used_is_told_with_its_place(tmp_path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    file = tmp_path / "orders.yaml"
    file.write_text("security: sasl-tls\nusers: [{name: app, password: {file: secret}}]\n")
    cluster = resolve_without_ports(spec := load(file), container_layout(spec), str(tmp_path))
    with pytest.raises(UsageError) as caught:
        material_of(cluster, NOTHING, Home.at(tmp_path / "home"), FakeRuntime())
    assert why in f"{caught.value.what} {caught.value.why}"
    assert (str(tmp_path / "secret") in caught.value.what) is (content is not None)  # else it may be a password


@pytest.mark.parametrize("odd", ["\u00a0", "\u200d", "\ue000", "\u3000", "\U0001f600", "\u202e", '"\\', "ß"])
def test_a_password_may_have_any_character_but_controls(tmp_path: Path, odd: str) -> None:
    (tmp_path / "secret").write_text(f"a{odd}b\n")
    file = tmp_path / "orders.yaml"
    file.write_text("security: sasl-tls\nusers: [{name: app, password: {file: secret}}]\n")
    cluster = resolve_without_ports(spec := load(file), container_layout(spec), str(tmp_path))
    home = Home.at(tmp_path / "home")
    assert material_of(cluster, NOTHING, home, FakeRuntime()).password("user-app") == f"a{odd}b"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o604, 0o644])
def test_a_password_that_others_can_read_is_warned_of(
    tmp_path: Path, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    secret, file = tmp_path / "secret", tmp_path / "orders.yaml"
    secret.write_text(WORD)
    secret.chmod(mode)
    file.write_text("security: sasl-tls\nusers: [{name: app}, {name: ops, password: {file: secret}}]\n")
    assert run(["validate", str(file)]) == 0
    told = capsys.readouterr().err
    assert WORD not in told
    assert (f"users[1].password.file: others can read {secret} (`chmod 600 {secret}`)" in told) is bool(mode & 0o077)


def test_a_variable_is_named_once_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APP_PASSWORD", raising=False)
    file = tmp_path / "orders.yaml"
    file.write_text("security: sasl-plain\nusers: [{name: app, password: {env: APP_PASSWORD}}]\n")
    cluster = resolve_without_ports(spec := load(file), container_layout(spec))
    with pytest.raises(UsageError, match="names for the password of app is not set") as caught:
        material_of(cluster, NOTHING, Home.at(tmp_path / "home"), FakeRuntime())
    assert "APP_PASSWORD" not in f"{caught.value.what} {caught.value.hint}"  # it may be the password itself
    monkeypatch.setenv("APP_PASSWORD", "")
    with pytest.raises(UsageError, match="APP_PASSWORD has no password for the user app"):
        material_of(cluster, NOTHING, Home.at(tmp_path / "home"), FakeRuntime())
    monkeypatch.setenv("APP_PASSWORD", WORD)
    assert material_of(cluster, NOTHING, Home.at(tmp_path / "home"), FakeRuntime()).password("user-app") == WORD


@given(st.text())
def test_a_quoted_text_comes_back(text: str) -> None:
    assert re.sub(r"\\(.)", r"\1", quoted(text), flags=re.DOTALL) == text
    assert not re.search(r'(?<!\\)(\\\\)*"', quoted(text))  # nothing ends the quotation


@pytest.mark.parametrize("odd", ["a:b", "a}b"])
@pytest.mark.parametrize("security", PROFILES)
def test_a_home_to_whose_secrets_kafka_could_not_be_referred_is_refused(
    tmp_path: Path, odd: str, security: str
) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text(f"security: {security}\n")
    home = Home.at(tmp_path / odd, tmp_path / "cache")
    if PROFILES[security].is_secured:
        with pytest.raises(UsageError, match="the home cannot be"):
            local_layout(load(file), str(tmp_path), home)
    else:
        assert local_layout(load(file), str(tmp_path), home).directory.startswith(str(tmp_path / odd))
