"""One question to one broker: what the whole-cluster clients do not offer.

The client library chooses the broker it asks. Readiness must ask each one, over the listener it is asked about, and
give up in time; so this puts the library's own codec (`KafkaProtocol`, which does no I/O) on a plain socket.
"""

import importlib
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_CHUNK = 64 * 1024

Answer = TypeVar("Answer")


class NotAnswering(Exception):
    """The broker does not answer (yet), or not in time; the text says how that showed."""


def ask(address: str, request: Any, timeout_s: float) -> Any:  # noqa: ANN401 the library's request and response classes
    """Send one request to the broker at `host:port` and return its response.

    Args:
        address: `host:port`.
        request: a request of `kafka.protocol`, with its version set.
        timeout_s: for all of it, from connecting to the last byte.

    Raises:
        NotAnswering: nothing listens, the connection ends, or time is up.
    """
    # Loading the library takes 0.15 s, which commands that ask no broker need not spend.
    from kafka.errors import KafkaError
    from kafka.protocol.parser import KafkaProtocol

    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + timeout_s
    protocol = KafkaProtocol(client_id="provision")
    protocol.send_request(request)
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
            connection.sendall(protocol.send_bytes())
            while True:
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                data = connection.recv(_CHUNK)
                if not data:
                    raise NotAnswering("it closes the connection")
                for _, response in protocol.receive_bytes(data):
                    return response
    except TimeoutError as error:
        raise NotAnswering("it does not answer in time") from error
    except ConnectionRefusedError as error:
        raise NotAnswering("it does not listen yet") from error
    except OSError as error:
        raise NotAnswering((error.strerror or str(error)).lower()) from error
    except KafkaError as error:
        raise NotAnswering(str(error) or type(error).__name__) from error


def ask_side_by_side(questions: Mapping[int, Callable[[], Answer]]) -> dict[int, Answer | NotAnswering]:
    """Ask several brokers at once; who does not answer has the reason in place of an answer.

    Args:
        questions: what is to be called for each, by broker id. The modules of the client library that it needs are
            loaded before: they import each other in a circle, which several threads at once would trip over.
    """

    def asked(question: Callable[[], Answer]) -> Answer | NotAnswering:
        try:
            return question()
        except NotAnswering as reason:
            return reason

    if not questions:
        return {}
    importlib.import_module("kafka.protocol.parser")
    with ThreadPoolExecutor(max_workers=len(questions)) as pool:
        return dict(zip(questions, pool.map(asked, questions.values()), strict=True))
