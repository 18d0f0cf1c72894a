"""Translate the client library's errors into ours: Kafka does not answer, or rejects the request."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import kafka  # noqa: F401 the package first
from kafka.errors import (
    AuthorizationError,
    BrokerNotAvailableError,
    BrokerResponseError,
    KafkaError,
    SaslAuthenticationFailedError,
    StaleBrokerEpochError,
    StaleControllerEpochError,
    UnknownError,
    UnsupportedSaslMechanismError,
    for_code,
)

from provision.errors import KafkaRefused, ProvisionError, Unavailable

_HINT = "`provision status` shows the brokers"
_NO_PERMISSION = (AuthorizationError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError)
# Kafka does not call them retriable, but they pass once a broker or a controller is back.
_PASSING = (BrokerNotAvailableError, StaleBrokerEpochError, StaleControllerEpochError, UnknownError)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate the client's errors into ours: `doing` names the operation, for example `creating topics`.

    Raises:
        KafkaRefused: Kafka rejected the request: no permission, a policy, an invalid value.
        Unavailable: the brokers do not answer, or not as a cluster that has formed.
    """
    try:
        yield
    # KeyError: a broker answers while its cluster is still forming. RuntimeError: brokers name no active
    # controller, or a former one.
    except (KafkaError, KeyError, RuntimeError) as error:
        raise as_provision_error(doing, error) from error


def as_provision_error(doing: str, error: Exception) -> ProvisionError:
    """Translate one of the client's errors into one of ours."""
    why = str(error) or type(error).__name__
    if isinstance(error, _NO_PERMISSION):
        return KafkaRefused(f"{doing}: Kafka denies this user permission", why=why)
    if isinstance(error, BrokerResponseError) and not error.retriable and not isinstance(error, _PASSING):
        return KafkaRefused(f"{doing}: Kafka refused", why=why)
    return Unavailable(f"{doing}: the brokers do not answer", why=why, hint=_HINT)


def failures(answers: Iterable[Mapping[str, Any]], *harmless: int) -> dict[str, str]:
    """The answers with an error code, by name, each with Kafka's reason."""
    return {
        answer["name"]: reason_of(answer["error_code"], answer.get("error_message"))
        for answer in answers
        if answer["error_code"] not in (0, *harmless)
    }


def reason_of(code: int, message: str | None) -> str:
    """Why Kafka rejected one of several items: its message, if it has one."""
    return message or str(for_code(code).__name__)
