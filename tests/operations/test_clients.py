"""A password arrives in every kind of client as it is, or the form is refused."""

import json
import re
import subprocess
from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provision.cluster.properties import parse
from provision.errors import UsageError
from provision.kafka.access import Access, Credentials
from provision.operations.forms import FORMS

SERVERS = {number: f"127.0.0.1:{9000 + number}" for number in (1, 2)}
passwords = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]).filter(str.isprintable)
    | st.sampled_from(list("\\\"'${}:=# ;,@")),
    min_size=1,
    max_size=60,
)


def _access(password: str, servers: Mapping[int, str] = SERVERS) -> Access:
    return Access(servers, "SASL_PLAINTEXT", Credentials("PLAIN", "app", password))


def _in_jaas(text: str) -> str:
    r"""What Java reads between the quotation marks (`java.io.StreamTokenizer`): `\\` escapes, also by octal numbers."""
    found = re.search(r'password="((?:[^"\\]|\\.)*)"', text)
    assert found
    octal = r"\\([0-3][0-7]{0,2}|[4-7][0-7]?)|\\(.)"
    return re.sub(octal, lambda match: chr(int(match[1], 8)) if match[1] else match[2], found[1])


def _by_spring(text: str) -> str:
    """What Spring makes of a value: `${NAME}` is replaced, or an error; nothing else changes."""
    assert "${" not in text
    return text


def _by_kcat(text: str) -> dict[str, str]:
    """As `kcat.c` has it."""
    found = {}
    for line in text.encode().split(b"\n")[:-1]:
        assert len(line) < 511
        stripped = line.strip(b" \t\v\f\r")
        for escaped in (b":", b"="):
            while b"\\" + escaped in stripped:
                stripped = stripped.replace(b"\\" + escaped, escaped, 1)
        key, _, value = stripped.partition(b"=")
        found[key.decode()] = value.decode()
    return found


READ: Mapping[str, Callable[[str], object]] = {
    "properties": lambda text: _in_jaas(parse(text)["sasl.jaas.config"]),
    "spring": lambda text: _in_jaas(_by_spring(parse(text)["spring.kafka.properties.sasl.jaas.config"])),
    "librdkafka": lambda text: json.loads(text)["sasl.password"],
    "kafka-python": lambda text: json.loads(text)["sasl_plain_password"],
    "kcat": lambda text: _by_kcat(text)["sasl.password"],
}


@settings(max_examples=100, deadline=None)
@given(password=passwords)
@example("${HOME}")
@example("$${a}}")
@example("\\${a}")
@example("\\\\${a:b}")
@example("\\044{a}")
@example("ends in a space ")
@example(" begins with one")
@example("a\\:b")
@example("a\\=b")
@example("#")
def test_a_password_arrives_as_it_is(password: str) -> None:
    for form, read in READ.items():
        if form == "kcat" and (password.endswith(" ") or "\\:" in password or "\\=" in password):
            with pytest.raises(UsageError, match=r"kcat cannot read this sasl\.password") as caught:
                FORMS[form](_access(f"s3same{password}"))
            assert "s3same" not in f"{caught.value} {caught.value.why} {caught.value.hint}"
        else:
            assert read(FORMS[form](_access(password))) == password, form


@pytest.mark.parametrize("password", ["it's $HOME `date` \\", ' "${HOME}" '])
def test_a_shell_takes_it_as_it_is(password: str) -> None:
    script = f'{FORMS["env"](_access(password))}\nprintf %s "$KAFKA_SASL_PASSWORD"'
    assert subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True).stdout.decode() == password


def test_of_many_addresses_kcat_gets_as_many_as_it_can_read() -> None:
    many = {number: f"some-broker-{number}:9092" for number in range(60)}
    servers = _by_kcat(FORMS["kcat"](_access("x", many)))["bootstrap.servers"].split(",")
    assert servers == list(many.values())[: len(servers)]
    assert len(servers) > 20
    with pytest.raises(UsageError, match=r"kcat cannot read this sasl\.password"):
        FORMS["kcat"](_access("x" * 600))


def test_a_path_that_spring_would_take_for_another_is_refused() -> None:
    with pytest.raises(UsageError, match=r"the value of spring\.kafka\.properties\.ssl\.truststore\.location"):
        FORMS["spring"](Access(SERVERS, "SSL", ca="/home/${user}/ca.pem"))
