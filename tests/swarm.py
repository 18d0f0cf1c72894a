"""Several Docker engines on this machine, joined to one swarm: each in a network namespace of its own.

A bridge stands for the network of their machines. Everything has a name with the id of the process that made it, which
removes it again, and nothing else.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, DockerException
from docker.models.containers import Container

from tests.engine import engine, image, wait_until

_FORWARD = ("FORWARD", "-j", "ACCEPT")
_NEEDED = ("ip", "iptables", "nsenter", "unshare", "setpriv", "dockerd")
_REFUSED = b"\x81\x83"  # an answer of a name server: there is no such name
_START_S = 90.0
_LISTENS, _LOOPBACK = "0A", "7F"  # in /proc/net/tcp: the state, and how loopback addresses end
MANAGEMENT_PORTS = frozenset({2377, 7946})
"""Where a swarm's managers and engines talk to each other."""


@dataclass(slots=True)
class Host:
    """A machine with an engine: `name` is its host name, `address` the one on the bridge."""

    name: str
    address: str
    directory: Path
    namespace: str
    process: subprocess.Popen[bytes] | None = None
    _client: docker.DockerClient | None = None

    @property
    def docker_host(self) -> str:
        """Where its engine answers on this machine."""
        return f"unix://{self.directory}/sock"

    @property
    def client(self) -> docker.DockerClient:
        """A client of its engine, which has to answer."""
        if self._client is None:
            self._client = docker.DockerClient(base_url=self.docker_host, timeout=60)
        return self._client

    @property
    def listening(self) -> frozenset[int]:
        """The TCP ports on which anything listens on this machine, but for those of its loopback address."""
        assert self.process is not None
        tables = [Path(f"/proc/{self.process.pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
        rows = [line.split() for table in tables for line in table.splitlines()[1:]]
        ends = [row[1].rpartition(":") for row in rows if row[3] == _LISTENS]
        return frozenset(int(port, 16) for address, _, port in ends if not address.endswith(_LOOPBACK))

    def start(self, name_server: str) -> None:
        """Start the engine, which ends with the thread that starts it, however that ends."""
        directory = self.directory
        dockerd = (
            f"hostname {self.name}; exec setpriv --pdeathsig TERM dockerd --config-file {directory}/none.json"
            f" --data-root {directory}/data --exec-root {directory}/exec --pidfile {directory}/pid"
            f" -H unix://{directory}/sock --dns {name_server}"
        )
        (directory / "none.json").write_text("{}")
        with (directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                _found("nsenter", f"--net=/var/run/netns/{self.namespace}", "unshare", "--uts", "sh", "-c", dockerd),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until the engine answers."""
        assert wait_until(self._answers, _START_S), (self.directory / "log").read_text()[-2000:]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            probe.connect(f"{self.directory}/sock")
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in probe.recv(64)
        return False

    def stop(self, *, kill: bool = False) -> None:
        """End the engine, and with `kill` everything that runs on it first, as if the machine had lost its power."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self.process is None:
            return
        if kill:
            self.process.kill()
            self._end_containers()
        else:
            self.process.terminate()
        self.process.wait(timeout=60)
        self.process = None

    def _end_containers(self) -> None:
        """Kill what runs in its containers: they do not end with it."""
        for group in Path("/sys/fs/cgroup").glob("**/docker/*/cgroup.procs"):
            container = self.directory / "data" / "containers" / group.parent.name
            if container.exists():
                for process in group.read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(process), 9)


@dataclass(slots=True)
class Lab:
    """Hosts on one bridge."""

    hosts: list[Host] = field(default_factory=list)
    bridge: str = ""
    network: str = ""

    @property
    def name_server(self) -> str:
        """Where a name server answers that it knows no name: the address of this machine on the bridge."""
        return f"{self.network}.254"

    @property
    def engines(self) -> str:
        """The section `swarm.engines` of a file, as YAML in one line."""
        return "{" + ", ".join(f'{host.name}: "{host.docker_host}"' for host in self.hosts) + "}"

    def host(self, name: str) -> Host:
        """The host of that name."""
        return next(host for host in self.hosts if host.name == name)

    def of(self, service: str) -> Container:
        """The container in which the task of a service runs."""
        label: dict[str, Any] = {"label": f"com.docker.swarm.service.name={service}"}
        (container,) = (one for host in self.hosts for one in host.client.containers.list(filters=label))
        return container

    @contextlib.contextmanager
    def frozen(self, *names: str) -> Iterator[None]:
        """Engines that answer nobody for a while, as if the cable were pulled; what runs on them goes on."""
        processes = [process for name in names if (process := self.host(name).process)]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    def traces(self, environment: str, but: Host | None = None) -> list[str]:
        """What is left of an environment in the swarm, and on its engines, except for one that is away."""
        api = self.hosts[0].client.api
        things = [("service", one["Spec"]["Name"]) for one in api.services()]
        things += [("config", f"{one['Spec']['Name']} {one['Spec']['Labels']}") for one in api.configs()]
        things += [("secret", one["Spec"]["Name"]) for one in api.secrets()]
        things += [("network", one["Name"]) for one in api.networks()]
        for host in self.hosts:
            if host is but:
                continue
            own = host.client.api
            things += [(f"volume on {host.name}", one["Name"]) for one in own.volumes()["Volumes"] or ()]
            things += [(f"container on {host.name}", one["Names"][0]) for one in own.containers(all=True)]
        return sorted(f"{kind} {name}" for kind, name in things if environment in name)


def _found(tool: str, *words: str) -> list[str]:
    """A command of a tool that is somewhere on the PATH."""
    return [shutil.which(tool) or tool, *words]


def _run(*words: str) -> None:
    subprocess.run(_found(*words), check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def lab(*names: str) -> Iterator[Lab]:
    """Engines of these names, each a manager of one swarm and with the test image; all of it goes again."""
    engine()
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in _NEEDED):
        reason = f"root, and {', '.join(_NEEDED)}, are needed for several engines"
        if os.environ.get("PROVISION_TEST_REQUIRE_ENGINE"):
            pytest.fail(reason)
        pytest.skip(reason)
    mark = os.getpid() % 250
    made = Lab(bridge=f"psw{mark}", network=f"10.213.{mark}")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(_directory()))
        _bridge(made, stack)
        stack.enter_context(_name_server(made.name_server))
        for number, name in enumerate(names, start=1):
            host = Host(name, f"{made.network}.{number}", directory / name, f"psw{mark}-{name}")
            _connect(made, host, stack)
            made.hosts.append(host)
        stack.callback(_end, made)
        for host in made.hosts:
            host.start(made.name_server)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Host.wait, made.hosts))
            list(pool.map(load_image, made.hosts))
        _join(made)
        yield made


@contextlib.contextmanager
def joined(made: Lab, name: str) -> Iterator[Host]:
    """One more engine, a worker of the swarm, for as long as a test needs it."""
    first = made.hosts[0]
    with contextlib.ExitStack() as stack:
        number = len(made.hosts) + 1
        host = Host(name, f"{made.network}.{number}", first.directory.parent / name, f"{made.bridge}-{name}")
        _connect(made, host, stack)
        stack.callback(_end_one, host)
        host.start(made.name_server)
        host.wait()
        load_image(host)
        join(host, [first.address], first.client.swarm.attrs["JoinTokens"]["Worker"])
        node = host.client.api.info()["Swarm"]["NodeID"]
        stack.callback(first.client.api.remove_node, node, force=True)
        made.hosts.append(host)
        stack.callback(made.hosts.remove, host)
        yield host


@contextlib.contextmanager
def _directory() -> Iterator[str]:
    directory = tempfile.mkdtemp(prefix="psw-")
    yield directory
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((one for one in mounts if one.startswith(f"{directory}/")), reverse=True):
        subprocess.run(_found("umount", "--lazy", mount), check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def _bridge(made: Lab, stack: contextlib.ExitStack) -> None:
    _run("ip", "link", "add", made.bridge, "type", "bridge")
    stack.callback(_run, "ip", "link", "del", made.bridge)
    _run("ip", "addr", "add", f"{made.name_server}/24", "dev", made.bridge)
    _run("ip", "link", "set", made.bridge, "up")
    for direction in ("-i", "-o"):  # Docker's own policy drops what is forwarded
        _run("iptables", "-w", "-I", *_FORWARD, direction, made.bridge)
        stack.callback(_run, "iptables", "-w", "-D", *_FORWARD, direction, made.bridge)


def _connect(made: Lab, host: Host, stack: contextlib.ExitStack) -> None:
    """A namespace with one end of a cable, of which the other is in the bridge."""
    host.directory.mkdir()
    inside = ("ip", "-n", host.namespace)
    cable = f"{made.bridge}{host.address.rpartition('.')[2]}"
    _run("ip", "netns", "add", host.namespace)
    stack.callback(_run, "ip", "netns", "del", host.namespace)
    _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
    _run("ip", "link", "set", cable, "master", made.bridge, "up")
    _run(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
    _run(*inside, "link", "set", "eth0", "up")
    _run(*inside, "link", "set", "lo", "up")
    _run(*inside, "route", "add", "default", "via", made.name_server)


@contextlib.contextmanager
def _name_server(address: str) -> Iterator[None]:
    """Answers that there is no such name: else whoever asks for one would wait."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        server.settimeout(0.5)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    asked, client = server.recvfrom(4096)
                    name, separator, rest = asked[12:].partition(b"\0")
                    server.sendto(asked[:2] + _REFUSED + b"\0\1" + b"\0" * 6 + name + separator + rest[:4], client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        ended.set()
        thread.join()


def load_image(host: Host) -> None:
    """Bring the test image to a host's engine: it has no registry."""
    chunks = engine().images.get(image()).save(named=True)
    host.client.api.load_image(chunks)


def _join(made: Lab) -> None:
    first, *others = made.hosts
    first.client.swarm.init(advertise_addr=first.address)
    token = first.client.swarm.attrs["JoinTokens"]["Manager"]
    for host in others:
        join(host, [first.address], token)


def join(host: Host, managers: list[str], token: str) -> None:
    """Let a host join a swarm."""
    remote = [f"{manager}:2377" for manager in managers]
    host.client.swarm.join(remote_addrs=remote, join_token=token, advertise_addr=host.address)


def _end(made: Lab) -> None:
    """End the engines and what runs on them."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(_end_one, made.hosts))


def _end_one(host: Host) -> None:
    if host.process is not None:
        with contextlib.suppress(DockerException):
            host.client.swarm.leave(force=True)
            for container in host.client.api.containers(all=True, quiet=True):
                with contextlib.suppress(APIError):
                    host.client.api.remove_container(container["Id"], force=True, v=True)
    host.stop()
