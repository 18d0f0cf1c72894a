"""What is shipped: the wheel has templates and type information, and works where it is installed."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KNOWN_KEYS = "provision/spec/lint/known_keys.json"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    recipe = re.search(r"^build:.*\n\t\$\(BIN\)/python (.+) dist$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    command = [sys.executable, *recipe[1].split(), target]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return target


def test_wheel_and_sdist_contain_templates_and_types(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    templates = {f"provision/templates/{file.name}" for file in (ROOT / "templates").iterdir()}
    assert templates
    pages = {f"provision/reference/{file.name}" for file in (ROOT / "docs" / "reference").iterdir()}
    assert pages
    assert templates | pages | {"provision/py.typed", "provision/cli/app.py", KNOWN_KEYS} <= names
    assert not any(name.startswith(("tests/", "scripts/")) for name in names)
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    shipped = {
        "templates/server.properties.j2",
        "docs/reference/commands.md",
        "provision/py.typed",
        "README.md",
        "pyproject.toml",
        KNOWN_KEYS,
    }
    assert shipped <= inside


def test_an_installed_wheel_works_in_an_empty_environment(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    venv.create(tmp_path / "venv")
    binaries = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PROVISION"))}
    clean["PROVISION_HOME"] = str(tmp_path / "home")

    def run(program: Path | str, *arguments: str) -> str:
        return subprocess.run(
            [str(program), *arguments],
            cwd=tmp_path, env=clean, check=True, capture_output=True, text=True, timeout=300,
        ).stdout  # fmt: skip

    # By the pip that is here, and compiling only what is used: half of the time.
    pip = ("-m", "pip", "--python", str(binaries / "python"), "--disable-pip-version-check")
    run(sys.executable, *pip, "install", "--quiet", "--no-compile", str(wheel))
    provision = binaries / "provision"
    assert run(provision, "--version").startswith("provision ")
    run(provision, "init", "fresh")
    assert run(provision, "docs", "environment-file").startswith("# The environment file")
    (schema,) = (tmp_path / "environments").glob(".*.json")
    assert run(provision, "schema") == schema.read_text()
    assert f"$schema={schema.name}\n" in (tmp_path / "environments" / "fresh.yaml").read_text()
    run(provision, "validate", "fresh", "--strict", "--set", "brokers.properties.num.io.threads=4")
    run(provision, "render", "fresh", "--out", "rendered")
    assert "broker.id=1" in (tmp_path / "rendered" / "broker-1" / "server.properties").read_text()
