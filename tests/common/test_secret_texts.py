"""What looks secret is hidden in every text, and nothing else is."""

import base64

import pytest

from provision.common.secret_texts import HIDDEN, is_secret_name, is_secret_setting, without_secrets

WORD = "xyzzy-0pen-s3same"
LOGIN = base64.b64encode(b"me:0pen-sesame").decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Authorization: Basic {LOGIN}", f"Authorization: {HIDDEN}"),
        (f"-Dapp.auth=Basic {LOGIN}", f"-Dapp.auth=Basic {HIDDEN}"),
        ("Authorization: Bearer eyJhbGciOi.eyJzdWIi.abc", f"Authorization: {HIDDEN}"),
        ("header Bearer eyJhbGciOi.eyJzdWIi.abc", f"header Bearer {HIDDEN}"),
        (f"DB_PWD: {WORD}", f"DB_PWD: {HIDDEN}"),
        (f"keystore.pass={WORD}", f"keystore.pass={HIDDEN}"),
        (f"PASS={WORD}", f"PASS={HIDDEN}"),
        (f"passcode={WORD}", f"passcode={HIDDEN}"),
        (f"basic.auth.user.info=usr:{WORD}", f"basic.auth.user.info={HIDDEN}"),
        (f"https://host/x?se=1&sig={WORD}&sp=r", f"https://host/x?se=1&sig={HIDDEN}&sp=r"),
        (f"https://s3/x?X-Amz-Signature={WORD}", f"https://s3/x?X-Amz-Signature={HIDDEN}"),
        (f"https://me:{WORD}@host/x", f"https://me:{HIDDEN}@host/x"),
        (f"--db-password {WORD} --user me", f"--db-password {HIDDEN} --user me"),
        (f"keytool -storepass {WORD} -keypass {WORD} -v", f"keytool -storepass {HIDDEN} -keypass {HIDDEN} -v"),
        (f"-password {WORD}", f"-password {HIDDEN}"),
        *(
            (f"{before}--password {WORD}", f"{before}--password {HIDDEN}")
            for before in ("", " ", "'", "`", "(", "=", "['", 'KAFKA_OPTS="')
        ),
        (f"dbPass={WORD}", f"dbPass={HIDDEN}"),
        (f"DB_USERPASS={WORD}", f"DB_USERPASS={HIDDEN}"),
        (f'{{"keyPass": "{WORD}", "n": 1}}', f'{{"keyPass": {HIDDEN}, "n": 1}}'),
        (f"-Dmy.password={WORD}", f"-Dmy.password={HIDDEN}"),
        (f"x.token {WORD} → unset", f"x.token {HIDDEN}"),
    ],
)
def test_what_looks_secret_is_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "INFO Basic authentication is used",
        "bypass=true compass: 3",
        "byPassed=3 doPassive=1",
        "firstPass: done in 3 ms, secondPass = true, lastPass=4",
        "the option needs no-password sign-in",
        "topics - password is no setting of these",
        "Bearer authentication",
        "INFO all tests passed, 3 compasses bypassed",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "ssl.truststore.location=/etc/trust.jks",
        "listeners=HOST://0.0.0.0:9092",
        "min.insync.replicas 1 → 2",
        "signature algorithm: SHA256withRSA",
        "-Xmx1g -XX:+UseSerialGC",
        "key 'monkey' of the record",
    ],
)
def test_what_does_not_is_shown(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("ssl.key.password", "123456", True),
        ("delegation.token.expiry.time.ms", "86400000", False),
        ("delegation.token.secret.key", "1", True),
        ("x.token", "abc", True),
        ("num.io.threads", "8", False),
    ],
)
def test_a_number_is_secret_only_as_a_password(name: str, value: str, secret: bool) -> None:
    assert is_secret_setting(name, value) == secret
    assert is_secret_name("compass.direction") is False
