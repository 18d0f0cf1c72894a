"""What every part of the admin connection shares: the client, its patience, and one translation of its errors."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka.errors import KafkaError, for_code

from provision.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Session:
    """An admin client and the milliseconds that a request may take."""

    client: Any
    timeout_ms: int


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the client's errors into ours.

    Raises:
        Unavailable: the brokers do not answer, or not as a cluster that has formed.
    """
    try:
        yield
    # KeyError: a broker that answers while its cluster still forms. RuntimeError: brokers that name no active
    # controller, or one that is none any more.
    except (KafkaError, KeyError, RuntimeError) as error:
        why = str(error) or type(error).__name__
        raise Unavailable(
            f"{doing}: the brokers do not answer", why=why, hint="`provision status` shows them"
        ) from error


def failures(answers: Iterable[Mapping[str, Any]], *harmless: int) -> dict[str, str]:
    """The answers that tell an error, by name, each with Kafka's reason."""
    return {
        answer["name"]: answer.get("error_message") or for_code(answer["error_code"]).__name__
        for answer in answers
        if answer["error_code"] not in (0, *harmless)
    }
