"""Where a cluster is, in the forms in which other programs take it: environment variables, and files of settings."""

import json
import shlex
from collections.abc import Callable, Mapping

from msgspec import Struct


class Addresses(Struct, frozen=True):
    """The name of an environment, and where clients on this machine find its cluster; empty where they cannot."""

    name: str
    bootstrap_servers: str
    zookeeper_connect: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that clients and frameworks read, by name."""
        all_of_them = {
            "PROVISION_ENV": self.name,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "SPRING_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_ZOOKEEPER_CONNECT": self.zookeeper_connect,
        }
        return {name: value for name, value in all_of_them.items() if value}


def _shell(addresses: Addresses) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in addresses.variables.items()]


def _lines(addresses: Addresses) -> list[str]:
    return [f"{name}={value}" for name, value in addresses.variables.items()]


def _json(addresses: Addresses) -> list[str]:
    return [json.dumps(addresses.variables, indent=2)]


def _spring(addresses: Addresses) -> list[str]:
    return [f"spring.kafka.bootstrap-servers={addresses.bootstrap_servers}"]


def _librdkafka(addresses: Addresses) -> list[str]:
    return [f"bootstrap.servers={addresses.bootstrap_servers}"]


FORMATS: Mapping[str, Callable[[Addresses], list[str]]] = {
    "shell": _shell,
    "dotenv": _lines,  # names and addresses have no character that one of its dialects would want quoted
    "json": _json,
    "github": _lines,
    "spring": _spring,
    "librdkafka": _librdkafka,
}
"""The lines of each format, by its name."""
