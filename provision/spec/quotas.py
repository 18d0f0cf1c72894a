"""Client quotas in an environment file: how much of the brokers a client may use.

Source: Kafka documentation, "Setting quotas", and KIP-546 (users and client ids), KIP-599 (`controller_mutation_rate`),
KIP-612 (`connection_creation_rate`).
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from provision.spec.rules import Finding
from provision.spec.section import Section

if TYPE_CHECKING:
    from provision.spec.model import EnvironmentSpec

DEFAULT = "default"
"""The name of Kafka's default entity: all clients without a quota of their own."""
ENTITY_KEYS = ("user", "client_id", "ip")


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be a name, or default, which stands for all without a quota of their own")
    return text


def _address(text: str) -> str:
    if text == DEFAULT:
        return text
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or "%" in text:
        raise ValueError(f"{text!r} is not an IP address, nor default, which is all without a quota of their own")
    return str(address)


Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Bytes = Annotated[int, Field(ge=1, le=2**53)]  # Kafka's requests have floating-point numbers, exact up to here
Rate = Annotated[float, Field(gt=0)]
Name = Annotated[str, AfterValidator(_name)]


class QuotaSpec(Section):
    """The limits of a user, a client id, a user with a client id, or an IP address."""

    user: Name | None = None
    """The user; `default` stands for all users without a quota of their own."""
    client_id: Name | None = None
    """The client id; `default` stands for all client ids without a quota of their own."""
    ip: Annotated[str, AfterValidator(_address)] | None = None
    """The IP address; `default` stands for all addresses without a quota of their own."""
    producer_byte_rate: Bytes | None = None
    """Bytes per second that may be written, per broker."""
    consumer_byte_rate: Bytes | None = None
    """Bytes per second that may be read, per broker."""
    request_percentage: Rate | None = None
    """Share of the request handler and network threads, in percent of one thread."""
    controller_mutation_rate: Rate | None = None
    """Partitions per second that may be created or deleted."""
    connection_creation_rate: Count | None = None
    """Connections per second that an address may open, per broker."""

    @property
    def entity(self) -> tuple[tuple[str, str], ...]:
        """The entity: those of `user`, `client_id` and `ip` that are given, with their names."""
        said = ((key, getattr(self, key)) for key in ENTITY_KEYS)
        return tuple((key, name) for key, name in said if name is not None)

    @property
    def limits(self) -> dict[str, float]:
        """The given limits, by Kafka's own keys."""
        keys = (key for key in type(self).model_fields if key not in ENTITY_KEYS)
        return {key: float(value) for key in keys if (value := getattr(self, key)) is not None}


def quotas(spec: "EnvironmentSpec") -> Iterator[Finding]:
    """Each quota has an entity and limits that Kafka applies to it, and no entity occurs twice."""
    seen: list[tuple[tuple[str, str], ...]] = []
    for index, quota in enumerate(spec.quotas):
        path = ("quotas", index)
        if not quota.entity:
            yield Finding(path, "the quota is for nobody", "add user, client_id or ip")
        elif quota.ip is not None and len(quota.entity) > 1:
            yield Finding(
                (*path, "ip"), "an IP address cannot be combined with a user or a client id", "make them two entries"
            )
        elif quota.entity in seen:
            yield Finding(
                path, f"there is already a quota for {_in_words(quota.entity)}", "put all its limits into one entry"
            )
        seen.append(quota.entity)
        if not quota.limits:
            yield Finding(path, "the quota limits nothing", "add a limit, for example producer_byte_rate: 1048576")
        for key in quota.limits:
            connections = key == "connection_creation_rate"
            if quota.entity and connections != (quota.ip is not None):
                whom = "IP addresses" if connections else "users and client ids"
                yield Finding((*path, key), f"Kafka applies this limit to {whom} only", "remove it", at_key=True)


def _in_words(entity: Sequence[tuple[str, str]]) -> str:
    return " and ".join(f"{key} {name}" for key, name in entity)
