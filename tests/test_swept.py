"""What a client library leaves open is blamed on the test that used it, and on no other."""

import gc
import os
import socket
import ssl
import warnings

import pytest

from tests.sweeping import sweep


class _Left:
    """A connection in the midst of its handshake that only the garbage collector finds."""

    def __init__(self) -> None:
        near, self.far = socket.socketpair()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.connection = context.wrap_socket(near, server_hostname="x", do_handshake_on_connect=False)
        self.itself = self


def test_a_connection_that_a_client_forgot_goes_without_a_warning() -> None:
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        left = _Left()
        left.far.close()
        number = left.connection.fileno()
        del left
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sweep()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
    finally:
        if was_enabled:
            gc.enable()
