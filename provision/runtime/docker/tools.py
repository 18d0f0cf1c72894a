"""A container attached to the caller's standard streams."""

import io
import os
import select
import socket
import tarfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO

import docker
from docker.utils.socket import frames_iter

from provision.catalogue.images import layout_of
from provision.cluster.layout import NODE_HOME
from provision.common.offloading import ended_by, require_wanted
from provision.runtime import tool_logging
from provision.runtime.base import SECRET_MODE, JavaCommand, Streams
from provision.runtime.docker import ending
from provision.runtime.docker.containers import ENVIRONMENT, ROLE, TOOL_ROLE, hardening, process_label
from provision.runtime.docker.images import volumes_of

_STDERR = 2
_CHUNK = 64 * 1024
_POLL_S = 0.2
_HEAP = "256m"
_CLIENT_FILE = "client.properties"
MEMORY_BYTES = 768 * 1024**2


def java_command(
    image: str, command: JavaCommand, heap: str, own: str = NODE_HOME, logging: str = NODE_HOME
) -> list[str]:
    """The command line of a main class in a container of `image`.

    `own` is the directory of files that it reads, `logging` that of its logging configuration.
    """
    layout = layout_of(image)
    options = [f"-Xmx{heap}", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
    return [
        layout.java,
        *options,
        *tool_logging.options(logging),
        *command.options(lambda file: f"{own}/{file}"),
        "-cp",
        layout.class_path,
        command.main_class,
        *command.told(f"{NODE_HOME}/{_CLIENT_FILE}"),
    ]


def tool_options(environment: str, image: str, command: JavaCommand, *, stdin: bool) -> dict[str, Any]:
    """The tool's container. Its logging configuration goes into an anonymous volume, which is removed with it."""
    account = layout_of(image).user
    return {
        "image": image,
        "entrypoint": java_command(image, command, _HEAP),
        "command": [],
        "user": f"{account}:{account}",
        "labels": {ENVIRONMENT: environment, ROLE: TOOL_ROLE, **process_label()},
        "stdin_open": stdin,
        "volumes": [NODE_HOME],
    }


def tool_archive(command: JavaCommand, image: str) -> bytes:
    """The tar file for the volume of a tool: its logging, and what only it may read."""
    account = layout_of(image).user
    secret = {**command.secrets, **({_CLIENT_FILE: command.properties} if command.option else {})}
    return logging_archive(secret, account)


def logging_archive(secret: Mapping[str, bytes] | None = None, account: int = 0) -> bytes:
    """The tar file for the volume, with secret files for that account."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in tool_logging.FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
        for name, hidden in (secret or {}).items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid, member.gid = len(hidden), SECRET_MODE, account, account
            tar.addfile(member, io.BytesIO(hidden))
    return buffer.getvalue()


def run(
    api: docker.APIClient,
    environment: str,
    image: str,
    command: JavaCommand,
    streams: Streams,
    labels: Mapping[str, str] | None = None,
) -> int:
    """Run a main class in a container of its own in the environment's network; returns its exit code.

    `labels` are those of the container, if they are not the usual ones.
    """
    options = tool_options(environment, image, command, stdin=streams.stdin is not None)
    host = hardening(memory_bytes=MEMORY_BYTES, image_volumes=volumes_of(api, image))
    host_config = api.create_host_config(**host, network_mode=environment)
    options["labels"] = labels or options["labels"]
    identity = api.create_container(**options, host_config=host_config)["Id"]
    try:
        api.put_archive(identity, NODE_HOME, tool_archive(command, image))
        return run_attached(api, identity, streams)
    finally:
        ending.remove(api, identity, "the tool")


def run_attached(api: docker.APIClient, identity: str, streams: Streams) -> int:
    """Start a created container, carry its streams until it exits, and return its exit code."""
    wanted = {"stdin": 1 if streams.stdin else 0, "stdout": 1, "stderr": 1, "stream": 1}
    attached = api.attach_socket(identity, params=wanted)
    connection = getattr(attached, "_sock", attached)  # the SDK's wrapper does not close its socket
    ended = threading.Event()
    try:
        api.start(identity)
        if streams.stdin is not None:
            # A daemon: it may be blocked reading the terminal when the container exits.
            threading.Thread(target=_feed, args=(streams.stdin, connection, ended), daemon=True).start()
        with ended_by(partial(_hang_up, connection)):
            for stream, data in frames_iter(attached, tty=False):
                out = streams.stderr if stream == _STDERR else streams.stdout
                out.write(data)
                out.flush()
        require_wanted()
        return int(api.wait(identity)["StatusCode"])
    finally:
        ended.set()
        connection.close()
        attached.close()


def _hang_up(connection: Any) -> None:  # noqa: ANN401 differs by transport
    with suppress(OSError):  # the container has just ended
        connection.shutdown(socket.SHUT_RDWR)


def _feed(stdin: BinaryIO, connection: Any, ended: threading.Event) -> None:  # noqa: ANN401 differs by transport
    """Copy standard input to the container as it arrives, and close the container's when it ends."""
    try:
        descriptor = stdin.fileno()
        while not ended.is_set():
            if not select.select([descriptor], [], [], _POLL_S)[0]:
                continue
            data = os.read(descriptor, _CHUNK)
            if not data:
                connection.shutdown(socket.SHUT_WR)
                return
            connection.sendall(data)
    except OSError:
        return  # the container exited first
