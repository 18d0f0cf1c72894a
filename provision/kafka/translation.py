"""Translate the client library's errors into ours: Kafka does not answer, or rejects the request."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import provision.kafka.library  # noqa: F401 the library first
from kafka.errors import (
    AuthorizationError,
    BrokerNotAvailableError,
    BrokerResponseError,
    KafkaError,
    KafkaProtocolError,
    SaslAuthenticationFailedError,
    StaleBrokerEpochError,
    StaleControllerEpochError,
    UnknownBrokerIdError,
    UnknownError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
    for_code,
)

from provision.errors import KafkaRefused, ProvisionError, Unavailable

_HINT = "`provision status` shows the brokers"
_NO_PERMISSION = (AuthorizationError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError)
# The library does not call them retriable, but they pass once a broker or a controller is back, or the cluster has
# formed.
_PASSING = (
    BrokerNotAvailableError,
    KafkaProtocolError,
    StaleBrokerEpochError,
    StaleControllerEpochError,
    UnknownBrokerIdError,
    UnknownError,
)
_PACKAGES = {"lz4": "lz4", "snappy": "python-snappy", "zstd": "zstandard"}
"""The Python package that the library needs for a codec."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate the client's errors into ours: `doing` names the operation, for example `creating topics`.

    Raises:
        KafkaRefused: Kafka rejected the request: no permission, a policy, an invalid value.
        Unavailable: the brokers do not answer, or not as a cluster that has formed; or a codec is missing here.
        ProvisionError: the client could not do it.
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
    if isinstance(error, UnsupportedCodecError):
        return _without_codec(doing, why)
    if isinstance(error, KafkaError) and not _passes(type(error)):
        if isinstance(error, BrokerResponseError):
            return KafkaRefused(f"{doing}: Kafka refused", why=why)
        return ProvisionError(f"{doing}: the client cannot do that", why=why)
    return Unavailable(f"{doing}: the brokers do not answer", why=why, hint=_HINT)


def passes(code: int) -> bool:
    """Whether the same request may succeed in a moment, for all that an error code says."""
    error = for_code(code)
    # One that the library does not know, which it derives from that error, may be anything.
    is_known = error is UnknownError or not issubclass(error, UnknownError)
    return bool(code) and is_known and _passes(error)


def _passes(error: type[KafkaError]) -> bool:
    return error.retriable or issubclass(error, _PASSING)


def _without_codec(doing: str, why: str) -> ProvisionError:
    codec = next((codec for codec in _PACKAGES if re.search(rf"\b{codec}\b", why)), "")
    if not codec:
        return ProvisionError(f"{doing}: the records are compressed in a way that the client does not know", why=why)
    what = f"{doing}: the records are compressed with {codec}, which is not installed here"
    return Unavailable(what, why=why, hint=f"install the Python package {_PACKAGES[codec]}")


def reason_of(code: int, message: str | None) -> str:
    """Why Kafka rejected one of several items: its message, if it has one."""
    return message or str(for_code(code).__name__)
