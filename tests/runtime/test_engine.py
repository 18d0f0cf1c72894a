"""The engine is the one that `docker` itself would talk to, whatever names it; what is not valid is named."""

import json
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.errors import Unavailable
from provision.home.place import Home
from provision.runtime import Runtimes
from provision.runtime.docker.client import connect, engine_identity, swarm_of
from provision.runtime.docker.engine import DEFAULT_SOCKET, chosen_engine
from tests.certificates import Authority
from tests.docker_contexts import add_context, at, identity
from tests.fake_engine import FakeEngine


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any settings for Docker."""
    names = ("HOST", "CONTEXT", "TLS", "TLS_VERIFY", "CERT_PATH")
    for name in names:
        monkeypatch.delenv(f"DOCKER_{name}", raising=False)
    directory = tmp_path / "docker"
    directory.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    return directory


# Each line as `docker` 28.2 does it: DOCKER_HOST, DOCKER_CONTEXT, currentContext, and the address it talks to.
@pytest.mark.parametrize(
    ("host", "variable", "current", "expected"),
    [
        (None, None, None, f"unix://{DEFAULT_SOCKET}"),
        (None, None, "default", f"unix://{DEFAULT_SOCKET}"),
        (None, None, "one", "unix:///run/one.sock"),
        (None, "two", "one", "tcp://10.0.0.2:2375"),
        (None, "default", "one", f"unix://{DEFAULT_SOCKET}"),
        ("unix:///run/host.sock", "two", "one", "unix:///run/host.sock"),
        ("unix:///run/host.sock", "nowhere", "nowhere", "unix:///run/host.sock"),
        (None, "two", "nowhere", "tcp://10.0.0.2:2375"),
        ("", "", "one", "unix:///run/one.sock"),
        (" ", "two", "one", f"unix://{DEFAULT_SOCKET}"),
        ("unix://", None, None, f"unix://{DEFAULT_SOCKET}"),
        (" unix:///run/a b.sock ", None, None, "unix:///run/a b.sock"),
        ("tcp://", None, None, "tcp://localhost:2375"),
        ("tcp://127.0.0.1", None, None, "tcp://127.0.0.1:2375"),
        ("tcp://[::1]:99", None, None, "tcp://[::1]:99"),
        ("foo", None, None, "tcp://foo:2375"),
        (":2375", None, None, "tcp://localhost:2375"),
        ("10.1.1.1:99", None, None, "tcp://10.1.1.1:99"),
    ],
)
def test_the_engine_is_the_one_docker_talks_to(
    configuration: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str | None,
    variable: str | None,
    current: str | None,
    expected: str,
) -> None:
    add_context(configuration, "one", at("unix:///run/one.sock"))
    add_context(configuration, "two", at("tcp://10.0.0.2"))
    for name, value in (("DOCKER_HOST", host), ("DOCKER_CONTEXT", variable)):
        if value is not None:
            monkeypatch.setenv(name, value)
    if current:
        (configuration / "config.json").write_text(json.dumps({"currentContext": current}))
    assert chosen_engine().address == expected


@pytest.mark.parametrize("content", ["{broken", "[]", '{"currentContext": 3}', "", "\xff", "[" * 100_000])
def test_a_configuration_that_docker_cannot_read_is_ignored_as_by_docker(configuration: Path, content: str) -> None:
    (configuration / "config.json").write_bytes(content.encode("latin-1"))
    assert chosen_engine().address == f"unix://{DEFAULT_SOCKET}"


@pytest.mark.parametrize("kind", ["pipe", "directory", "link to a device"])
def test_a_configuration_that_is_no_file_is_ignored(configuration: Path, kind: str) -> None:
    file = configuration / "config.json"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")
    assert chosen_engine().address == f"unix://{DEFAULT_SOCKET}"


def test_a_configuration_that_is_a_link_is_read(configuration: Path, tmp_path: Path) -> None:
    add_context(configuration, "one", at("unix:///run/one.sock"))
    (tmp_path / "dotfile").write_text(json.dumps({"currentContext": "one"}))
    (configuration / "config.json").symlink_to(tmp_path / "dotfile")
    assert chosen_engine().address == "unix:///run/one.sock"


def test_a_context_whose_name_is_no_text_does_not_exist(configuration: Path) -> None:
    (configuration / "config.json").write_text('{"currentContext": "\\ud800"}')
    with pytest.raises(Unavailable, match="there is no Docker context"):
        chosen_engine()


@pytest.mark.parametrize(
    "host", ["foo://x", "http://127.0.0.1:1", "fd://", "tcp://a b:1", "tcp://127.0.0.1:99999", "tcp://x:y", "tcp://h:0"]
)
def test_an_address_that_is_none_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(Unavailable) as caught:
        connect()
    assert host in caught.value.what
    assert "DOCKER_HOST" in caught.value.why


@pytest.mark.parametrize("named_by", ["DOCKER_HOST", "DOCKER_CONTEXT"])
def test_an_engine_reached_by_ssh_is_told_to_be_out_of_reach(
    configuration: Path, monkeypatch: pytest.MonkeyPatch, named_by: str
) -> None:
    add_context(configuration, "far", at("ssh://me@far"))
    monkeypatch.setenv(named_by, "ssh://me@far" if named_by == "DOCKER_HOST" else "far")
    with pytest.raises(Unavailable, match=f"SSH is not supported: ssh://me@far .*{named_by}") as caught:
        connect()
    assert "127.0.0.1 of the engine's machine" in caught.value.why


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", "[" * 100_000, '{"Endpoints": {"docker": 3}}', '{"Endpoints": {"docker": {"Host": 3}}}'],
)
def test_a_context_that_cannot_be_read_is_named_with_its_file(
    configuration: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    file = add_context(configuration, "odd", content)
    monkeypatch.setenv("DOCKER_CONTEXT", "odd")
    with pytest.raises(Unavailable, match="context 'odd' cannot be read") as caught:
        connect()
    assert "DOCKER_CONTEXT" in caught.value.why
    assert str(file) in caught.value.why


@pytest.mark.parametrize("name", ["nope", "../x y", "\udcff"])
def test_a_context_that_does_not_exist_is_named_with_what_names_it(
    configuration: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", name)
    with pytest.raises(Unavailable, match="there is no Docker context") as caught:
        connect()
    assert "DOCKER_CONTEXT" in caught.value.why + caught.value.hint
    monkeypatch.delenv("DOCKER_CONTEXT")
    (configuration / "config.json").write_text(json.dumps({"currentContext": name}))
    with pytest.raises(Unavailable, match="there is no Docker context") as caught:
        connect()
    assert "config.json" in caught.value.why


def test_the_engine_of_the_context_is_used_and_not_the_default_one(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"provision.environment": "beside"}
    network = {"Name": "beside", "Id": "n", "Labels": labels, "IPAM": {"Config": []}}
    one, two = FakeEngine(), FakeEngine({"GET /networks": (200, [network])})
    with one.on_socket(tmp_path / "1.sock") as first, two.on_socket(tmp_path / "2.sock") as second:
        add_context(configuration, "one", at(first))
        add_context(configuration, "two", at(second))
        (configuration / "config.json").write_text(json.dumps({"currentContext": "one"}))
        for name, expected in (("", ()), ("two", ("beside",)), ("one", ())):
            monkeypatch.setenv("DOCKER_CONTEXT", name)
            runtimes = Runtimes(Home.at(tmp_path / "home"))
            assert runtimes.of_kind("docker").environments() == expected
            runtimes.close()


@pytest.fixture
def proxy() -> Iterator[str]:
    """A proxy that nobody may ask."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("place", ["port", "socket"])
def test_an_engine_on_this_machine_is_never_asked_through_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, place: str
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, proxy)
    engine = FakeEngine()
    with engine.on_port() if place == "port" else engine.on_socket(tmp_path / "e.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        client = connect()
        assert client.api.containers() == []
        client.close()


def test_an_engine_elsewhere_is_asked_through_the_proxy_like_by_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    with engine.on_port() as address:
        monkeypatch.setenv("http_proxy", address.replace("tcp:", "http:"))
        monkeypatch.setenv("DOCKER_HOST", "tcp://engine.example:2375")
        connect().close()
    assert engine.asked == ["GET http://engine.example:2375/version"]


def test_an_encrypted_engine_is_trusted_by_the_authority_of_its_context_alone(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, other = Authority.at(tmp_path / "ours"), Authority.at(tmp_path / "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", other.ca)
    with FakeEngine().on_port(ours.issue("IP:127.0.0.1")) as address:
        for name, authority in (("trusted", ours), ("distrusted", other)):
            add_context(configuration, name, at(address))
            place = configuration / "contexts" / "tls" / identity(name) / "docker"
            place.mkdir(parents=True)
            (place / "ca.pem").write_text(Path(authority.ca).read_text())
        monkeypatch.setenv("DOCKER_CONTEXT", "trusted")
        connect().close()
        monkeypatch.setenv("DOCKER_CONTEXT", "distrusted")
        with pytest.raises(Unavailable, match="no Docker engine answers") as caught:
            connect()
    assert "context 'distrusted', DOCKER_CONTEXT" in caught.value.why


def test_credentials_for_web_sites_are_not_sent_to_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    engine = FakeEngine()
    with engine.on_port() as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        connect().close()
    assert all("Authorization" not in headers for headers in engine.headers)


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b"3", b"\xff"])
def test_what_is_not_an_engine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    with FakeEngine({"GET /version": (200, content)}).on_socket(tmp_path / "e.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(Unavailable) as caught:
            connect()
    assert "DOCKER_HOST" in f"{caught.value.what} {caught.value.why}"


def test_where_nothing_listens_no_socket_is_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "deaf.sock"))
    for host in (f"unix://{tmp_path}/none.sock", f"unix://{tmp_path}/deaf.sock", "tcp://127.0.0.1:1"):
        monkeypatch.setenv("DOCKER_HOST", host)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(Unavailable, match="no Docker engine answers") as caught:
                connect()
        assert host in caught.value.why
        assert "DOCKER_HOST" in caught.value.why
        assert "DOCKER_HOST" in caught.value.hint


def test_a_silent_engine_is_given_up_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provision.runtime.docker.client._ANSWER_S", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/silent.sock")
        with pytest.raises(Unavailable, match="no Docker engine answers") as caught:
            connect()
    assert "silent" in caught.value.why


def test_the_certificates_are_those_of_the_variables_or_of_the_context(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for directory in (
        tmp_path / "named",
        configuration,
        configuration / "contexts" / "tls" / identity("far") / "docker",
    ):
        directory.mkdir(parents=True, exist_ok=True)
        for part in ("ca", "cert", "key"):
            (directory / f"{part}.pem").write_text("")
    add_context(configuration, "far", at("tcp://far"))

    def authority_of() -> tuple[str, str | None]:
        engine = chosen_engine()
        return engine.address, engine.tls.ca_cert if engine.tls else None

    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    place = configuration / "contexts" / "tls" / identity("far") / "docker" / "ca.pem"
    assert authority_of() == ("tcp://far:2376", str(place))
    monkeypatch.setenv("DOCKER_HOST", "tcp://near")
    assert authority_of() == ("tcp://near:2375", None)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert authority_of() == ("tcp://near:2376", str(configuration / "ca.pem"))
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "named"))
    assert authority_of() == ("tcp://near:2376", str(tmp_path / "named" / "ca.pem"))


def test_certificates_that_are_not_there_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cert.pem").write_text("")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="certificates") as caught:
        connect()
    assert "key" in caught.value.why


class _Described:
    """A connection to an engine that counts how often it is asked what it is."""

    base_url = "http+docker://localhost"

    def __init__(self) -> None:
        self.asked = 0

    def info(self) -> dict[str, object]:
        self.asked += 1
        return {"ID": "ABCD", "Swarm": {"NodeID": "n1", "ControlAvailable": True}}


def test_an_engine_is_asked_once_in_each_connection_what_it_is() -> None:
    first: Any = _Described()
    second: Any = _Described()
    for api in (first, second, first):
        assert engine_identity(api) == "ABCD"
        assert swarm_of(api) == {"NodeID": "n1", "ControlAvailable": True}
    assert (first.asked, second.asked) == (1, 1)
