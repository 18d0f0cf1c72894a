"""Completion in a real bash, with the script that the program installs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from provision.cli import completion
from provision.cli.run import run
from tests.cli.program import ROOT
from tests.cli.world import settle

FILE = "name: {name}\nruntime: process\n"


def completed(directory: Path, *words: str) -> list[str]:
    """What bash offers for the last word, after `--install-completion bash`."""
    program = directory / "bin" / "provision"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m provision "$@"\n')
    program.chmod(0o755)
    (directory / "environments").mkdir(exist_ok=True)
    for name in ("dev", "devil", "other"):
        (directory / "environments" / f"{name}.yaml").write_text(FILE.format(name=name))
    script = """
        set -e
        test -e ~/.bash_completions/provision.sh || provision --install-completion bash >/dev/null
        source ~/.bash_completions/provision.sh
        COMP_WORDS=(provision "$@"); COMP_CWORD=$#; COMPREPLY=()
        _provision_completion provision
        echo "${COMPREPLY[*]}"
    """
    env = {
        "HOME": str(directory),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DOCKER_HOST": "unix:///nowhere",
    }
    done = subprocess.run(
        ["/bin/bash", "-c", script, "bash", *words],
        cwd=directory, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_environments_and_tools(tmp_path: Path) -> None:
    assert {"up", "topics", "logs"} <= set(completed(tmp_path, ""))
    assert completed(tmp_path, "up", "de") == ["dev", "devil"]
    assert completed(tmp_path, "tool", "kafka-top") == ["kafka-topics"]
    assert completed(tmp_path, "logs", "dev", "") == []  # nothing runs, and nothing is said


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
    with pytest.raises(SystemExit):
        run([])
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
