"""`client-config`: where what it prints goes, and where a secret does not."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.cli import look
from provision.cli.run import run
from provision.operations.clients import ClientConfig

TEXT = "user=app\npassword=s3same\u2028 \x85\n"


class _Environment:
    @staticmethod
    def client_config(_form: str, _user: str, *, inside: bool, listener: str, stores: Path | None) -> ClientConfig:
        assert (inside, listener, stores) == (False, "", None)
        return ClientConfig(TEXT, secret=True)


@pytest.fixture(autouse=True)
def _selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "select", lambda _env: _Environment)


@pytest.fixture
def terminal() -> Iterator[tuple[int, Path]]:
    """Its other end, and its path."""
    end, own = os.openpty()
    yield end, Path(os.ttyname(own))
    os.close(own)
    os.close(end)


def test_what_is_printed_is_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["client-config"]) == 0
    assert capsys.readouterr().out == TEXT


@pytest.mark.parametrize("out", [[], ["--out", "client.json"]])
def test_what_is_to_be_mounted_is_told_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: list[str]
) -> None:
    class Inside(_Environment):
        @staticmethod
        def client_config(_form: str, _user: str, **_: object) -> ClientConfig:
            return ClientConfig(TEXT, secret=True, mounts=(Path("/home/ca.pem"), Path("/home/user-app.pem")))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(look, "select", lambda _env: Inside)
    assert run(["client-config", "--inside", *out]) == 0
    told = capsys.readouterr()
    assert told.err.endswith("mount into the client's container, at the same path: /home/ca.pem, /home/user-app.pem\n")
    assert told.out == ("" if out else TEXT)


def test_a_file_is_this_users_alone_even_if_it_was_not(tmp_path: Path) -> None:
    for name in ("new", "old"):
        file = tmp_path / name
        if name == "old":
            file.write_text("before")
            file.chmod(0o644)
        assert run(["client-config", "--out", str(file)]) == 0
        assert file.read_bytes() == TEXT.encode()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_target_of_a_link_is_written_and_the_link_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)
    assert run(["client-config", "--out", str(link)]) == 0
    assert link.is_symlink()
    assert target.read_bytes() == TEXT.encode()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_pipe_gets_it_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert run(["client-config", "--out", str(pipe)]) == 0
    reader.join(30)
    assert read == [TEXT.encode()]
    assert pipe.is_fifo()


def test_a_terminal_shows_a_secret_only_when_it_is_to(
    terminal: tuple[int, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    end, path = terminal
    assert run(["client-config", "--out", str(path)]) == 64
    assert "--show-secrets" in capsys.readouterr().err
    assert run(["client-config", "--out", str(path), "--show-secrets"]) == 0
    assert os.read(end, 1000).startswith(b"user=app")


def test_where_nothing_can_be_written_that_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["client-config", "--out", str(tmp_path)]) != 0
    assert f"cannot write {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--store", "jks", "--out", "app.properties"], "there is no format 'jks' of stores"),
        (["--store", "pkcs12"], "the stores are written beside a file"),
        (["--store", "pkcs12", "--out", "/dev/null"], "the stores are written beside a file"),
        (["--store", "pkcs12", "--out", "/dev/stdout"], "the stores are written beside a file"),
        (["--store", "pkcs12", "--out", "/dev/../dev/fd/1"], "the stores are written beside a file"),
        (["--store", "pkcs12", "--out", "."], "the stores are written beside a file"),
        (["--store", "pkcs12", "--out", "truststore.p12"], "the stores are written beside a file"),
    ],
)
def test_stores_need_a_file_that_refers_to_them(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run(["client-config", *options]) == 64
    assert message in capsys.readouterr().err


def test_each_file_that_is_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, store = tmp_path / "app.properties", tmp_path / "app.truststore.p12"

    class Storing:
        @staticmethod
        def client_config(*_: str, stores: Path, **_options: object) -> ClientConfig:
            assert stores == out
            return ClientConfig(TEXT, secret=True, files=(store,))

    monkeypatch.setattr(look, "select", lambda _env: Storing)
    assert run(["client-config", "--store", "pkcs12", "--out", str(out)]) == 0
    assert capsys.readouterr().err.splitlines() == [f"wrote {store}", f"wrote {out}"]
