"""A Docker engine of a test's own, in a network of its own, which the test may stop, kill and start again.

Its one image has the layout of Kafka's and no Kafka: what stands for Java waits until it is told to end. That is all
that tests of the engine itself need, and it is there in a second. With real brokers it has the image of the other
tests, and whoever talks to them does so in its network (`inside`).
"""

import contextlib
import io
import os
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker
import psutil
import pytest
from docker.errors import DockerException

from tests.engine import engine, image, wait_until

IMAGE = "own-engine/kafka:3.9.1"
_JAVA = "#!/bin/sh\ntrap 'exit 143' TERM\nwhile :; do /bin/sleep 0.1; done\n"
_HOLD = "ip link set lo up && echo up && exec sleep infinity"


@dataclass
class OwnEngine:
    """Its directory must have a short path: sockets have a longest one."""

    directory: Path
    network_pid: int
    storage_driver: str = "vfs"
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """What DOCKER_HOST may be set to."""
        return f"unix://{self.directory}/docker.sock"

    @property
    def inside(self) -> tuple[str, ...]:
        """What starts a command in the engine's network, where the ports of its containers are."""
        return ("/usr/bin/nsenter", f"--net=/proc/{self.network_pid}/ns/net")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"--{name}={self.directory}/{name}" for name in ("data-root", "exec-root", "pidfile")]
        options += [f"--host={self.address}", f"--storage-driver={self.storage_driver}", "--shutdown-timeout=10"]
        command = [*self.inside, "dockerd", *options]
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

    def kill(self) -> None:
        """Kill it with all that runs in it, as if the machine had lost its power."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=60)
        self.end_all()

    def end_all(self) -> None:
        """Kill what it may have left running: containerd, what holds its containers, and what runs in them."""
        ended: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(str(self.directory) in word for word in process.cmdline()):
                    ended += [process, *process.children(recursive=True)]
        for process in ended:
            with contextlib.suppress(psutil.Error):
                process.kill()
        _, left = psutil.wait_procs(ended, timeout=30)
        assert not left

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        """A client of it, which has to answer."""
        client = docker.DockerClient(self.address, timeout=60)
        try:
            yield client
        finally:
            client.close()

    def load_image(self) -> None:
        """Give it the image without Kafka."""
        name, _, tag = IMAGE.rpartition(":")
        with self.client() as client:
            client.api.import_image_from_data(_root(), repository=name, tag=tag, changes=["ENV PATH=/usr/bin:/bin"])

    def load_kafka(self) -> None:
        """Give it the image of Kafka that the other tests have, from the engine of this machine."""
        with self.client() as client:
            client.api.load_image(engine().images.get(image()).save(named=True))


@contextmanager
def own_engine(storage_driver: str = "vfs") -> Iterator[OwnEngine]:
    """A running one without an image, which is gone at the end with all it has; skipped where nobody may start one."""
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        if os.environ.get("PROVISION_TEST_REQUIRE_ENGINE") and os.geteuid() == 0:
            pytest.fail("dockerd is required here")
        pytest.skip("only root starts an engine")
    directory = Path(tempfile.mkdtemp(prefix="own-engine-", dir="/tmp"))
    with _network() as pid:
        own = OwnEngine(directory, pid, storage_driver)
        try:
            own.start()
            yield own
        finally:
            if own._process and own._process.poll() is None:  # noqa: SLF001 its own
                own.stop()
            own.end_all()
            for mounted in re.findall(rf"{directory}/\S+", Path("/proc/mounts").read_text())[::-1]:
                subprocess.run(["/bin/umount", "--lazy", mounted], check=False, capture_output=True)
            shutil.rmtree(directory)


@contextmanager
def _network() -> Iterator[int]:
    """A network with nothing in it but itself, for as long as a process is there, which is given."""
    command = ["/usr/bin/unshare", "--net", "/bin/sh", "-c", _HOLD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == "up\n"
            yield holder.pid
        finally:
            holder.kill()


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
