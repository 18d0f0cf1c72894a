"""A container with the caller's standard streams."""

import os
import select
import socket
import threading
from typing import Any, BinaryIO

import docker
from docker.utils.socket import frames_iter

from provision.runtime.base import Streams

_STDERR = 2
_CHUNK = 64 * 1024
_POLL_S = 0.2


def run_attached(api: docker.APIClient, identity: str, streams: Streams) -> int:
    """Start a created container, carry its streams until it exits, and return its exit code."""
    wanted = {"stdin": 1 if streams.stdin else 0, "stdout": 1, "stderr": 1, "stream": 1}
    attached = api.attach_socket(identity, params=wanted)
    ended = threading.Event()
    try:
        api.start(identity)
        if streams.stdin is not None:
            # A daemon: it may be inside a read of the terminal when the container exits.
            threading.Thread(target=_feed, args=(streams.stdin, attached, ended), daemon=True).start()
        for stream, data in frames_iter(attached, tty=False):
            out = streams.stderr if stream == _STDERR else streams.stdout
            out.write(data)
            out.flush()
        return int(api.wait(identity)["StatusCode"])
    finally:
        ended.set()
        attached.close()


def _feed(stdin: BinaryIO, attached: Any, ended: threading.Event) -> None:  # noqa: ANN401 differs by transport
    """Copy standard input as it comes, and close the container's when it ends."""
    raw = getattr(attached, "_sock", attached)
    try:
        descriptor = stdin.fileno()
        while not ended.is_set():
            if not select.select([descriptor], [], [], _POLL_S)[0]:
                continue
            data = os.read(descriptor, _CHUNK)
            if not data:
                raw.shutdown(socket.SHUT_WR)
                return
            raw.sendall(data)
    except OSError:
        return  # the container exited first: nobody is left to read
