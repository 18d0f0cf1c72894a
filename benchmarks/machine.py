"""What the measurements were made on, and with which versions."""

import os
import platform
import re
import subprocess
from pathlib import Path

import docker
import psutil
from docker.errors import DockerException

from provision import __version__
from provision.catalogue.versions import DEFAULT_VERSION

ROOT = Path(__file__).parent.parent


def machine() -> dict[str, str]:
    """The machine and the versions, as they are shown; the same text as long as nothing has changed."""
    return {
        "processors": f"{os.cpu_count()} × {_processor()}",
        "memory": f"{psutil.virtual_memory().total / 1024**3:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Java": _said("java", "-version"),
        "Kafka": str(DEFAULT_VERSION),
        "Docker": _engine(),
        "Docker Compose": compose_version(),
    }


def program() -> str:
    """The version of `provision`, and its commit."""
    return f"{__version__} {_said('git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD')}".strip()


def load() -> str:
    """What else the machine does: the mean length of its run queue in the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def compose() -> list[str]:
    """The command of Docker Compose; empty if there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if _said(*command, "version", "--short"):
            return command
    return []


def compose_version() -> str:
    """Its version; empty if there is none."""
    command = compose()
    return _said(*command, "version", "--short") if command else ""


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _engine() -> str:
    try:
        client = docker.from_env(timeout=10)
        return str(client.version()["Version"])
    except DockerException:
        return ""


def _said(*command: str) -> str:
    """The first line that a command says; empty if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines and not done.returncode else ""
