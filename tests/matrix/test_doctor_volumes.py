"""What the doctor says about the files and data in the volumes of containers."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine import Provision, engine, image, write_environment
from tests.matrix.doctoring import Patient, rewritten, up

pytestmark = [pytest.mark.matrix, pytest.mark.engine, pytest.mark.row("doctor-volumes")]

FILE = """\
runtime: docker
kafka:
  version: 3.9.1
  mode: kraft
  image: {image}
brokers:
  port: auto
topics: [{{name: t}}]
"""
CONFIG, DATA = "/var/lib/provision/config", "/var/lib/provision/data"


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """A broker in a container that is well."""
    directory = tmp_path_factory.mktemp("volumes")
    env = write_environment(directory, "known-volumes", FILE.format(image=image()))
    patient = Patient(Provision(directory / "home", as_written=True), env)
    with up(patient):
        yield patient


def read(container: str, directory: str, name: str) -> bytes:
    """A file of a container."""
    stream, _ = engine().api.get_archive(container, f"{directory}/{name}")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        content = tar.extractfile(name)
        assert content
        return content.read()


def write(container: str, directory: str, name: str, content: bytes) -> None:
    """Put a file into a container, as `docker cp` does."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.uid, entry.gid = len(content), 0o644, 1000, 1000
        tar.addfile(entry, io.BytesIO(content))
    engine().api.put_archive(container, directory, made.getvalue())


def test_a_container_that_is_well_has_nothing(ill: Patient) -> None:
    assert ill.findings() == []


def test_a_file_that_was_edited(ill: Patient) -> None:
    container, name = "known-volumes-broker-1", "server.properties"
    before = read(container, CONFIG, name)
    line = before[: before.index(b"num.io.threads=")].count(b"\n") + 1
    write(container, CONFIG, name, before.replace(b"num.io.threads=4", b"num.io.threads=7"))
    edited = ill.only()
    assert (edited["id"], edited["file"]) == ("file-edited", f"{container}:{CONFIG}/{name}:{line}")
    write(container, CONFIG, name, before + b"# caf\xe9\n")
    assert ill.ids() == ["file-not-text"]
    write(container, CONFIG, name, before)
    assert ill.findings() == []


def test_data_of_another_cluster_and_those_that_were_kept(ill: Patient) -> None:
    container, name = "known-volumes-broker-1", "meta.properties"
    ill.provision.ok("stop", ill.env)
    assert ill.findings() == []
    before = read(container, DATA, name)
    other = [
        b"cluster.id=AAAAAAAAAAAAAAAAAAAAAA" if one.startswith(b"cluster.id=") else one for one in before.split(b"\n")
    ]
    write(container, DATA, name, b"\n".join(other))
    mismatch = ill.only()
    assert mismatch["id"] == "cluster-id-mismatch"
    assert mismatch["file"] == f"volume {container}, {DATA}/{name}"
    write(container, DATA, name, before)
    ill.provision.ok("down", ill.env, "--keep-data")
    with rewritten(Path(ill.env), b"version: 3.9.1", b"version: 3.8.1") as line:
        newer = ill.only()
        assert (newer["id"], newer["file"]) == ("kept-data-newer", f"{ill.env}:{line}")
    with rewritten(Path(ill.env), b"mode: kraft", b"mode: zookeeper") as line:
        mode = ill.only()
        assert (mode["id"], mode["file"]) == ("kept-data-other-mode", f"{ill.env}:{line}")
    assert ill.findings() == []
