"""Properties of nodes that `security`, `users` and `acls` decide: one in the file would take their effect away."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from provision.security.listening import Security
from provision.security.profiles import PROVIDER, PROVIDER_CLASS, PROVIDER_FILE
from provision.spec.acls import asks_for_permission
from provision.spec.listeners import security_of
from provision.spec.rules import Finding

if TYPE_CHECKING:
    from provision.spec.model import EnvironmentSpec

# Whoever sets one of these decides who is a super user, or what the name is that permissions are for.
_PERMISSIONS = (
    "authorizer.class.name",
    "super.users",
    "allow.everyone.if.no.acl.found",
    "principal.builder.class",
    "ssl.principal.mapping.rules",
)
_TLS = (
    "ssl.client.auth",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.factory.class",
    "ssl.key.password",
    "ssl.keymanager.algorithm",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.principal.mapping.rules",
    "ssl.trustmanager.algorithm",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
)
_PASSWORDS = (
    "sasl.client.callback.handler.class",
    "sasl.enabled.mechanisms",
    "sasl.jaas.config",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.mechanism.controller.protocol",
    "sasl.mechanism.inter.broker.protocol",
    "sasl.server.callback.handler.class",
)
# Versions of TLS that nobody is to get in with any more (RFC 8996).
_OUTDATED = re.compile(r"\b(?:SSL(?:v[0-9.]+)?|TLSv1(?:\.1)?)(?![\w.])")
_VERSIONS = ("ssl.enabled.protocols", "ssl.protocol")


def decided_properties(spec: "EnvironmentSpec") -> Iterator[Finding]:
    """No property decides in place of the keys for security: nodes would be open, or provision and they locked out."""
    if spec.bootstrap_servers:
        return
    places: list[tuple[tuple[str | int, ...], dict[str, str]]] = [
        (("controllers", "properties"), spec.controllers.properties),
        (("brokers", "properties"), spec.brokers.properties),
    ]
    places += [(("brokers", "overrides", n, "properties"), one.properties) for n, one in spec.brokers.overrides.items()]
    security, asks = security_of(spec), asks_for_permission(spec)
    for path, properties in places:
        for key, value in properties.items():
            if asks and _sets(key, _PERMISSIONS):
                message = "this property is decided by users and acls, so that provision is not locked out"
                yield Finding((*path, key), message, "remove it", at_key=True)
            elif _is_decided(security, key, value):
                message = f"this property is decided by security: {security.name}, which would not hold any more"
                yield Finding((*path, key), message, "remove it", at_key=True)


def _is_decided(security: Security, key: str, value: str) -> bool:
    if security.is_secured and key.startswith(f"{PROVIDER_FILE}."):
        return (key, value) != (PROVIDER_CLASS, PROVIDER)
    if security.encrypted and (_sets(key, _TLS) or (_sets(key, _VERSIONS) and _OUTDATED.search(value))):
        return True
    return bool(security.mechanism) and _sets(key, _PASSWORDS)


def _sets(key: str, names: tuple[str, ...]) -> bool:
    """Whether a key sets one of these properties, for all listeners or for one, or for a mechanism of one."""
    return key in names or (key.startswith("listener.name.") and any(key.endswith(f".{name}") for name in names))
