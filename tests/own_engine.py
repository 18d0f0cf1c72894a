"""A Docker engine of a test's own, in a network of its own, which the test may stop and start again.

Its one image has the layout of Kafka's and no Kafka: what stands for Java waits until it is told to end. That is all
that tests of the engine itself need, and it is there in a second.
"""

import contextlib
import io
import os
import re
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker
import psutil
import pytest
from docker.errors import DockerException

from tests.engine import wait_until

IMAGE = "own-engine/kafka:3.9.1"
_JAVA = "#!/bin/sh\ntrap 'exit 143' TERM\nwhile :; do /bin/sleep 0.1; done\n"
_START = 'ip link set lo up && exec "$@"'


@dataclass
class OwnEngine:
    """Its directory must have a short path: sockets have a longest one."""

    directory: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """What DOCKER_HOST may be set to."""
        return f"unix://{self.directory}/docker.sock"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"--{name}={self.directory}/{name}" for name in ("data-root", "exec-root", "pidfile")]
        options += [f"--host={self.address}", "--storage-driver=vfs", "--shutdown-timeout=2"]
        command = ["/usr/bin/unshare", "--net", "/bin/sh", "-c", _START, "engine", "dockerd", *options]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        assert wait_until(self._answers, 60), (self.directory / "log").read_text()[-3000:]

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:  # where nobody listens, the SDK would leave its own open
                probe.connect(f"{self.directory}/docker.sock")
            client = docker.DockerClient(self.address, timeout=5)
        except (OSError, DockerException):
            return False
        client.close()
        return True

    def stop(self) -> None:
        """Stop it, and with it all that runs in it."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=60)

    def end_all(self) -> None:
        """Kill what it may have left running: containerd, and what holds its containers."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(str(self.directory) in word for word in process.cmdline()):
                    process.kill()
                    process.wait(timeout=30)

    def load_image(self) -> None:
        """Give it its image."""
        client = docker.DockerClient(self.address, timeout=60)
        try:
            name, _, tag = IMAGE.rpartition(":")
            client.api.import_image_from_data(_root(), repository=name, tag=tag, changes=["ENV PATH=/usr/bin:/bin"])
        finally:
            client.close()


@contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """A running one, which is gone at the end with all it has; skipped where nobody may start one."""
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        if os.environ.get("PROVISION_TEST_REQUIRE_ENGINE") and os.geteuid() == 0:
            pytest.fail("dockerd is required here")
        pytest.skip("only root starts an engine")
    directory = Path("/tmp") / f"own-engine-{os.getpid()}"
    directory.mkdir()
    engine = OwnEngine(directory)
    try:
        engine.start()
        engine.load_image()
        yield engine
    finally:
        if engine._process and engine._process.poll() is None:  # noqa: SLF001 its own
            engine.stop()
        engine.end_all()
        for mounted in re.findall(rf"{directory}/\S+", Path("/proc/mounts").read_text())[::-1]:
            subprocess.run(["/bin/umount", "--lazy", mounted], check=False, capture_output=True)
        shutil.rmtree(directory)


def _root() -> bytes:
    """The image: a shell with what it needs, what stands for Java, and where jars would be."""
    buffer = io.BytesIO()
    programs = {"bin/sh": Path("/bin/sh"), "bin/sleep": Path("/bin/sleep")}
    linked = {library for program in programs.values() for library in _libraries(program)}
    files = {**programs, **{str(one).lstrip("/"): one for one in sorted(linked)}}
    above = {str(place) for name in (*files, "usr/bin/java", "opt/kafka/libs/none.jar") for place in Path(name).parents}
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for directory in sorted(above - {"."}):  # those that are not named only root may enter
            _add_directory(tar, directory, 0o755)
        for name, program in files.items():
            _add(tar, name, program.read_bytes(), 0o755)
        _add(tar, "usr/bin/java", _JAVA.encode(), 0o755)
        _add(tar, "opt/kafka/libs/none.jar", b"", 0o644)
        for directory in ("tmp", "proc", "sys", "dev", "etc"):
            _add_directory(tar, directory, 0o1777)
    return buffer.getvalue()


def _libraries(program: Path) -> list[Path]:
    told = subprocess.run(["/usr/bin/ldd", program], capture_output=True, text=True, check=True).stdout
    return [Path(one) for one in re.findall(r"(/\S+) \(0x", told)]


def _add_directory(tar: tarfile.TarFile, name: str, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    tar.addfile(member)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))
