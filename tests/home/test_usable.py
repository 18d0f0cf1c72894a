"""Every home directory that a machine can give a command: what needs none works, all else says one sentence."""

from pathlib import Path

import pytest

from provision.cli.run import run
from provision.errors import Unavailable
from provision.home.place import Home
from provision.runtime import Runtimes
from provision.runtime.base import Runtime

FILE = """\
name: homeless
runtime: process
kafka: {distribution: ./kafka}
zookeeper: {nodes: 1}
brokers: {nodes: 1, port: auto}
"""
NEED_NONE = (["--help"], ["--version"], ["validate"], ["list"], ["down"])
NEED_ITS_PATH = (["render", "--out", "rendered"], ["plan"])
NEED_IT = (["up", "--until", "process"], ["fetch", "3.9.1"])
# A path that cannot be used, and whether files could at least name it.
BAD = {
    "HOME=": False,
    "HOME=/dev/null": True,
    "HOME=/proc": True,
    "HOME=/tmp/\udcff\udcfe": False,
    "PROVISION_HOME=/dev/null": True,
    "PROVISION_HOME=/dev/null/below": True,
    "PROVISION_HOME=/proc/home": True,
    "PROVISION_HOME=/tmp/\udcff": False,
    "PROVISION_HOME=loop/home": True,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "homeless.yaml").write_text(FILE)
    libs = tmp_path / "environments" / "kafka" / "libs"
    libs.mkdir(parents=True)
    (libs / "kafka.jar").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "PROVISION_ENV", "PROVISION_HOME"):
        monkeypatch.delenv(name, raising=False)
    of_kind = Runtimes.of_kind

    def no_engine(runtimes: Runtimes, kind: str) -> Runtime:
        if kind == "docker":
            raise Unavailable("no Docker engine answers")
        return of_kind(runtimes, kind)

    monkeypatch.setattr(Runtimes, "of_kind", no_engine)
    monkeypatch.setenv("PROVISION_CACHE", "/dev/null/cache")
    return tmp_path


@pytest.mark.parametrize("variable", BAD, ids=lambda text: ascii(text)[:40])
def test_a_home_that_cannot_be_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    monkeypatch.setenv(*variable.split("=", 1))
    need_none = (*NEED_NONE, *(NEED_ITS_PATH if BAD[variable] else ()))
    for line in need_none:
        code, said = run(line), capsys.readouterr()
        assert (line, code, "error:" in said.err) == (line, 0, False), said
        assert "cannot be" not in said.err
    for line in (*(() if BAD[variable] else NEED_ITS_PATH), *NEED_IT):
        code, said = run(line), capsys.readouterr()
        assert (line, code) == (line, 69), said
        assert "cannot be used\n" in said.err
        assert said.err.count("cannot be used") == 1
        assert "PROVISION_HOME names another directory for what is kept, PROVISION_CACHE another one" in said.err
    assert not (folder / "~").exists()


def test_a_relative_home_of_ours_is_where_the_command_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISION_HOME", "mine")
    monkeypatch.setenv("PROVISION_CACHE", "cache")
    assert Home.of_user() == Home(folder / "mine", folder / "cache")
    assert Home.of("mine") == Home(folder / "mine", folder / "cache")


@pytest.mark.parametrize("name", ["HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"])
def test_a_relative_directory_of_the_platform_is_never_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("PROVISION_CACHE")
    monkeypatch.setenv(name, "relative")
    home = Home.of_user()
    for directory in (home.directory, home.cache):
        assert directory.is_absolute()
        assert folder not in directory.parents
