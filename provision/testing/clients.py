"""What the clients of other libraries need to connect to a cluster, in the form in which each takes it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Reached(Protocol):
    """How a cluster is reached; see `provision.Environment.cluster`."""

    def client_options(self) -> dict[str, Any]:
        """The keyword arguments of kafka-python."""

    def librdkafka_options(self) -> dict[str, str]:
        """The configuration of librdkafka."""


def _kafka_python(access: Reached) -> dict[str, Any]:
    options = access.client_options()
    return options | {"bootstrap_servers": ",".join(options["bootstrap_servers"])}


def _aiokafka(access: Reached) -> dict[str, Any]:
    """Those of kafka-python, but for TLS, of which it takes the context."""
    options = _kafka_python(access)
    authorities, certificate, key = (options.pop(f"ssl_{name}", None) for name in ("cafile", "certfile", "keyfile"))
    if options["security_protocol"].endswith("SSL"):
        import ssl

        options["ssl_context"] = context = ssl.create_default_context(cafile=authorities)
        if certificate:
            context.load_cert_chain(certificate, key)
    return options


_FORMS: Mapping[str, Callable[[Reached], dict[str, Any]]] = {
    "kafka-python": _kafka_python,
    "aiokafka": _aiokafka,
    "librdkafka": lambda access: dict(access.librdkafka_options()),
    "confluent-kafka": lambda access: dict(access.librdkafka_options()),
}
CLIENTS = tuple(_FORMS)
_UNSAID = frozenset({("security_protocol", "PLAINTEXT"), ("security.protocol", "PLAINTEXT")})


def config_of(access: Reached, client: str) -> dict[str, Any]:
    """The configuration of one of `CLIENTS`, without what is its default."""
    return {key: value for key, value in _FORMS[client](access).items() if (key, str(value)) not in _UNSAID}
