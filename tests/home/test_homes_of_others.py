"""A home or a cache of another user: what needs none works, all else says whose variable names another one."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.users import NOBODY, needs_root

ROOT = Path(__file__).parents[2]
FILE = ROOT / "environments" / "quickstart.yaml"
NEED_NONE = (["--version"], ["list"], ["validate", str(FILE)])
NEED_IT = (
    ["down", "orders"],
    ["plan", str(FILE)],
    ["up", str(FILE)],
    ["fetch", "3.9.1"],
)


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A directory that is root's alone, in one that everybody may look into."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        (Path(made) / "home").mkdir(mode=0o700)
        (Path(made) / "work").mkdir()
        os.chown(Path(made) / "work", NOBODY, NOBODY)
        yield Path(made)


def as_nobody(directory: Path, home: Path, *line: str) -> tuple[int, str]:
    """The exit code of the program and what it prints, run by another user than ours."""
    env = {
        "HOME": str(directory),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DOCKER_HOST": "unix:///nowhere",
        "PROVISION_HOME": str(home),
        "PROVISION_CACHE": str(home),
    }
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    command = [*nobody, sys.executable, "-m", "provision", *line]
    done = subprocess.run(
        command, cwd=directory / "work", env=env, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


@needs_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_a_home_of_another_user_is_told_with_the_variable_that_names_another(theirs: Path) -> None:
    home = theirs / "home"
    code, said = as_nobody(theirs, home, "--version")
    if code:
        pytest.skip(f"another user cannot run this Python: {said[-200:]}")
    for line in NEED_NONE:
        code, said = as_nobody(theirs, home, *line)
        assert (code, "Traceback" in said) == (0, False), said
    for line in NEED_IT:
        code, said = as_nobody(theirs, home, *line)
        assert code in (1, 69), said
        assert "Traceback" not in said
        assert str(theirs / "home") in said
        assert "Permission denied" in said or "cannot be written to" in said
        assert "hint: PROVISION_HOME names another directory" in said
    assert list((theirs / "home").iterdir()) == []
