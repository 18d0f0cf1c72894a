"""What is secret stays here: in files, logs and descriptions of every form."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.layout import container_layout
from provision.cluster.model import UNREADABLE, RenderedFile
from provision.cluster.properties import escape_value
from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.common.secret_texts import HIDDEN
from provision.operations.masking import Mask
from provision.security.profiles import quoted
from provision.spec.model import EnvironmentSpec

WORD = "xyzzy-0pen-s3same"
KEYS = [
    "ssl.keystore.password",
    "ssl.key.password",
    "ssl.truststore.password",
    "ssl.keystore.key",
    "sasl.jaas.config",
    "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config",
    "delegation.token.secret.key",
    "password.encoder.secret",
    "sasl.oauthbearer.client.secret",
    "my.plugin.apiKey",
    "my.plugin.api.key",
    "aws.access.key",
    "basic.auth.credentials",
    "remote.log.passphrase",
    "DB_PASSWORD",
    "DB_PWD",
    "my.pwd",
    "keystore.pass",
    "PASS",
    "passcode",
    "my.auth.basic.auth.user.info",
]


def _file(text: str, name: str = "server.properties", *, secret: bool = False) -> RenderedFile:
    return RenderedFile("broker-1", name, text.encode(), secret=secret)


def _masked(file: RenderedFile) -> str:
    mask = Mask()
    mask.learn([file])
    return mask.file(file)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "line", ["{}={}", "{} = {}", "  {}: {}", "{} {}", "{}=\\\n  {}", "{}=a{} \\\n  and {} ", "#{}={}"], ids=repr
)
def test_no_form_of_a_setting_shows_its_value(key: str, line: str) -> None:
    count = line.count("{}") - 1
    shown = _masked(_file(f"broker.id=1\n{line.format(key, *([WORD] * count))}\nlog.dirs=/data\n"))
    assert WORD not in shown
    assert key in shown
    assert "broker.id=1\n" in shown
    assert "log.dirs=/data\n" in shown


@pytest.mark.parametrize(
    "text",
    [
        f"-----BEGIN PRIVATE KEY-----\n{WORD}\n-----END PRIVATE KEY-----\n",
        f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{WORD}\n{WORD}\n-----END ENCRYPTED PRIVATE KEY-----",
        f"-----BEGIN RSA PRIVATE KEY-----\n{WORD}",
        f'KafkaServer {{\n  X required\n  username="admin"\n  password="{WORD}"\n  user_admin="{WORD}";\n}};\n',
        f"url=https://me:{WORD}@example.com/x\n",
        f"<Property name='password'>x</Property><a password=\"{WORD}\"/>",
        f"password: {WORD}\nother: 1",
        f'{{"password": "{WORD}", "user": "me"}}',
    ],
)
@pytest.mark.parametrize("name", ["server.properties", "jaas.conf", "key.pem", "log4j2.yaml"])
def test_no_other_file_shows_a_secret(text: str, name: str) -> None:
    assert WORD not in _masked(_file(text, name))


def test_what_is_secret_as_a_whole_is_not_shown_at_all() -> None:
    assert _masked(_file(f"x={WORD}", secret=True)) == f"{HIDDEN}\n"
    assert "cannot be read" in Mask().file(RenderedFile("broker-1", "x", UNREADABLE))


def test_arguments_of_a_jvm_are_hidden_and_the_rest_of_its_launch_is_there() -> None:
    launch = {"java_args": ["-Xmx1g", f"-Djavax.net.ssl.keyStorePassword={WORD}", f"--password={WORD}"], "port": 1}
    shown = _masked(_file(json.dumps(launch, indent=2), "launch.json"))
    assert WORD not in shown
    assert json.loads(shown)["port"] == 1
    assert json.loads(shown)["java_args"][0] == "-Xmx1g"
    assert WORD not in _masked(_file(f"{json.dumps(launch, indent=2)},", "launch.json"))  # damaged


@pytest.mark.parametrize("key", KEYS)
def test_a_value_that_was_secret_once_is_hidden_wherever_it_comes_again(key: str) -> None:
    mask = Mask()
    mask.learn([_file(f"{key}={WORD}\n", secret=True)])
    assert mask.text(f"it began with {WORD}, and {WORD}!") == f"it began with {HIDDEN}, and {HIDDEN}!"
    assert mask.value({"detail": [f"a ({WORD})"], WORD: 1}) == {"detail": [f"a ({HIDDEN})"], WORD: 1}


def test_words_of_a_jaas_configuration_are_hidden_everywhere() -> None:
    mask = Mask()
    mask.learn(
        [_file(f'sasl.jaas.config=org.apache.X required username="admin" password="{WORD}" user_b="other-word";\n')]
    )
    assert mask.text(f"login with {WORD} or other-word") == f"login with {HIDDEN} or {HIDDEN}"


@pytest.mark.parametrize(
    "line",
    [
        f"[2026-01-01 10:00:00,000] INFO ssl.keystore.password = {WORD} (kafka.server)",
        f"option --db-password {WORD} given",
        f"the config has password={WORD}",
        f"ssl.keystore.password {WORD} → other",
        f"ssl.keystore.password other → {WORD}",
    ],
)
def test_a_line_of_a_log_shows_no_value(line: str) -> None:
    assert WORD not in Mask().text(line)


def test_a_change_of_a_secret_setting_shows_no_value() -> None:
    change = {"key": "ssl.key.password", "old": "unset", "new": WORD}
    assert Mask().value([change]) == [{"key": "ssl.key.password", "old": "unset", "new": HIDDEN}]


@pytest.mark.parametrize(
    "text",
    [
        "num.io.threads=8",
        "\tssl.keystore.password = null",
        "\tssl.keystore.password = [hidden]",
        "[2026-01-01 10:00:00,000] INFO [KafkaServer id=1] started (kafka.server.KafkaServer)",
        "listeners=HOST://0.0.0.0:9092",
        '{"key": "num.io.threads", "old": "1"}',
    ],
)
def test_what_is_not_secret_is_shown_as_it_is(text: str) -> None:
    mask = Mask()
    mask.learn([_file("x.password=kafka\nssl.secret=4\ndelegation.token.expiry.time.ms=8000\na.token=true\n")])
    assert mask.text(text) == text


def test_the_files_of_a_cluster_are_shown_as_they_are() -> None:
    spec = EnvironmentSpec.model_validate({"name": "shop", "brokers": {"nodes": 3}})
    files = render(resolve(spec, container_layout(spec), {}, "/environments"))
    mask = Mask()
    mask.learn(files)
    for file in files:
        if file.name.endswith(".properties"):
            assert mask.file(file).splitlines() == file.text.splitlines()
        assert HIDDEN not in mask.file(file)


@given(
    value=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=30),
    key=st.sampled_from(KEYS),
)
def test_no_value_is_shown_whatever_its_characters_are(value: str, key: str) -> None:
    secret = f"{value}{WORD}"
    assert WORD not in _masked(_file(f"a=1\n{key}={escape_value(secret)}\nb={escape_value(secret)}\n"))


@pytest.mark.parametrize("secret", [WORD, "0pen", "a 'b' \\c\"d", "wörd-ß", "x" * 40])
@pytest.mark.parametrize("line", ["login {} refused", "it was {}.", '"{}"', "user:{}@host", "{}", "({})", "k={},"])
def test_what_is_known_to_be_secret_is_hidden_in_whatever_form_a_text_has_it(secret: str, line: str) -> None:
    mask = Mask()
    mask.know([secret])
    shown = [mask.text(line.format(form)) for form in (secret, quoted(secret), escape_value(secret))]
    shown += [json.dumps(mask.value({"line": line.format(secret)}), ensure_ascii=escaped) for escaped in (True, False)]
    assert [text for text in shown if HIDDEN not in text] == []


def test_a_short_secret_is_hidden_as_a_whole_word_and_a_long_one_wherever_it_is() -> None:
    mask = Mask()
    mask.know(["kafka", WORD])
    assert mask.text("kafka-topics of org.apache.kafka.common, not kafka.") == (
        f"kafka-topics of org.apache.kafka.common, not {HIDDEN}."
    )
    assert mask.text(f"before-{WORD}-after") == f"before-{HIDDEN}-after"
