"""Completion in real shells, with the script that the program installs in each."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provision.cli import completion
from provision.cli.run import run
from tests.cli.program import ROOT
from tests.cli.world import settle

PROGRAM = f"""\
#!{sys.executable}
from provision.cli import completion, main

completion._LONGEST_S = 60.0  # this machine may be busy
main()
"""
FILE = "name: {name}\nruntime: process\n"
# Each is asked as at the first Tab of a session: what is offered for the last of the words, one a line.
BASH = """
    source ~/.bashrc
    COMP_WORDS=(provision "$@"); COMP_CWORD=$#; COMPREPLY=()
    _provision_completion provision
    printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = 'complete -C "provision $argv" | string replace -r "\\t.*" ""; true'
ZSH = """
    rm -f ~/offered
    zmodload zsh/zpty
    zpty shell zsh -f -i
    zpty -w shell 'PS1=; stty -echo; source ~/.zshrc'
    # As much of zsh as a completion needs outside of its line editor: it shows what would be offered.
    zpty -w shell 'compadd() {
        local -a offered; builtin compadd -O offered "$@"
        (( $#offered )) && print -rl -- "<"$^offered">" >>~/offered
        builtin compadd "$@"
    }'
    # What is typed before its line editor has the terminal is read line by line, and completed by nobody.
    zpty -w shell 'zle-line-init() { print -r -- rea''dy }; zle -N zle-line-init'
    zpty -r shell said '*ready*'
    zpty -w -n shell "provision ${(j: :)@}"
    zpty -w -n shell $'\\t'
    zpty -w -n shell $'\\C-a\\C-k'
    zpty -w shell 'print -r -- do''ne'
    zpty -r shell said '*done*'
    zpty -d shell
    [[ ! -e ~/offered ]] || sed -n 's/^<\\(.*\\)>$/\\1/p' ~/offered
"""
SHELLS = {"bash": BASH, "fish": FISH, "zsh": ZSH}


@pytest.fixture(params=["bash", *(pytest.param(one, marks=pytest.mark.matrix) for one in ("zsh", "fish"))])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> "Shell":
    """Each of the shells that this machine has, with completion installed and some files."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return Shell(request.param, tmp_path)


class Shell:
    """A shell of a user whose home has nothing else."""

    def __init__(self, kind: str, home: Path) -> None:
        self.kind, self.home = kind, home
        program = home / "bin" / "provision"
        program.parent.mkdir()
        program.write_text(PROGRAM)
        program.chmod(0o755)
        (home / "environments").mkdir()
        for name in ("dev", "devil", "other"):
            (home / "environments" / f"{name}.yaml").write_text(FILE.format(name=name))
        assert f"{kind} completion installed" in self.run("provision --install-completion; true")

    def run(self, script: str, *words: str) -> str:
        """What a script prints that is given words."""
        env = {
            "HOME": str(self.home),
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "DOCKER_HOST": "unix:///nowhere",
            "TERM": "xterm",
        }
        zeroth = () if self.kind == "fish" else (self.kind,)
        done = subprocess.run(
            [self.kind, "-c", script, *zeroth, *words],
            cwd=self.home, env=env, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout

    def offers(self, *words: str) -> list[str]:
        """What is offered for the last word."""
        return sorted(set(self.run(SHELLS[self.kind], *words).split()))


def test_commands_environments_and_tools_are_completed_at_the_first_tab(shell: Shell) -> None:
    assert shell.offers("up", "de") == ["dev", "devil"]
    assert shell.offers("tool", "kafka-top") == ["kafka-topics"]
    assert shell.offers("topics", "des") == ["describe"]
    assert shell.offers("logs", "dev", "bro") == []  # nothing runs, and nothing is said


def test_names_of_files_are_not_evaluated(shell: Shell) -> None:
    for name in (
        "devi$(touch was-here)",
        "devi`touch was-here`",
        r"devi\$(touch was-here)",
        'devi"; touch was-here; "',
    ):
        (shell.home / "environments" / f"{name}.yaml").write_text(FILE.format(name="devious"))
    assert shell.offers("up", "devi") == ["devil"]
    assert not (shell.home / "was-here").exists()


def test_a_shell_that_is_named_is_not_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--install-completion", "--show-completion"):
        assert run([option, "zsh"]) == 64
        assert f"{option} is for the shell in which it runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["status", ""], ["shop"]),
        (["topics", "describe", "shop", ""], ["orders"]),
        (["produce", ""], ["orders", "shop"]),
        (["logs", "shop", "bro"], ["broker-1", "broker-2", "broker-3"]),
        (["stop", "zoo"], ["zookeeper-1"]),
        (["tool", "shop", "kafka-topi"], ["kafka-topics"]),
        (["status", "/nowhere/"], []),
    ],
    ids=" ".join,
)
def test_what_is_offered(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    offered: list[str],
) -> None:
    settle(tmp_path, monkeypatch)
    capsys.readouterr()
    monkeypatch.setenv("_PROVISION_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(["provision", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    monkeypatch.setattr(completion, "_there", lambda: ["shop"])
    monkeypatch.setattr(completion, "_LONGEST_S", 60.0)
    assert run([]) == 0
    out, err = capsys.readouterr()
    assert (out.split(), err) == (offered, "")


def test_what_hangs_or_fails_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    never = threading.Event()
    monkeypatch.setattr(completion, "_LONGEST_S", 0.05)
    monkeypatch.setattr(completion, "_tools", lambda _env: never.wait(30) and [])
    assert completion.tools("") == []
    monkeypatch.setattr(completion, "_tools", lambda _env: int("no"))
    assert completion.tools("") == []
    never.set()
