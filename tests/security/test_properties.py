"""What a file's own properties may say beside its security, and what would take it away."""

from collections.abc import Callable
from typing import Any

import pytest

from provision.cluster.layout import container_layout
from provision.cluster.resolve import resolve_without_ports
from provision.errors import InvalidEnvironment
from provision.security.listening import Security
from provision.security.profiles import PROFILES, PROVIDER, Place, settings
from provision.spec.loader import load_values

SECURED = [name for name, profile in PROFILES.items() if profile.is_secured]
PLACES: list[Callable[[dict[str, str]], dict[str, Any]]] = [
    lambda properties: {"brokers": {"properties": properties}},
    lambda properties: {"brokers": {"overrides": {1: {"properties": properties}}}},
    lambda properties: {"controllers": {"nodes": 1, "properties": properties}},
]


def _values(security: str, **sections: object) -> dict[str, Any]:
    return {"name": "orders", "kafka": {"mode": "kraft"}, "security": security, **sections}


def _set_by(security: str) -> set[str]:
    """All properties that a profile sets."""
    place = Place(("INTERNAL", "HOST", "CONTROLLER"), "/config", kraft=True)
    return {*settings(Security.of(PROFILES[security]), place, {"app": "PLAIN"})} - {"config.providers"}


@pytest.mark.parametrize(
    ("security", "key"), [(security, key) for security in SECURED for key in sorted(_set_by(security))]
)
def test_a_property_that_its_security_sets_is_refused_wherever_it_is(security: str, key: str) -> None:
    for place in PLACES:
        with pytest.raises(InvalidEnvironment, match="1 problem") as caught:
            load_values(_values(security, **place({key: "none" if key.endswith("client.auth") else "other"})))
        (problem,) = caught.value.problems
        assert key in problem.path
        assert f"security: {security}" in problem.message
        assert "other" not in str(problem)


@pytest.mark.parametrize(
    ("security", "properties"),
    [
        ("tls", {"ssl.engine.factory.class": "a.B"}),
        ("tls", {"ssl.keystore.location": "/k.jks"}),
        ("tls", {"ssl.truststore.certificates": "x"}),
        ("tls", {"listener.name.host.ssl.client.auth": "none"}),
        ("mtls", {"listener.name.host.ssl.client.auth": "none"}),
        ("mtls", {"listener.name.host.ssl.truststore.location": "/k"}),
        ("tls", {"ssl.endpoint.identification.algorithm": ""}),
        ("tls", {"ssl.enabled.protocols": "TLSv1.1,TLSv1.2"}),
        ("tls", {"listener.name.host.ssl.enabled.protocols": "TLSv1"}),
        ("sasl-plain", {"sasl.jaas.config": "x"}),
        ("sasl-plain", {"sasl.enabled.mechanisms": "OAUTHBEARER"}),
        ("sasl-tls", {"listener.name.host.sasl.enabled.mechanisms": "GSSAPI"}),
        ("sasl-tls", {"listener.name.host.plain.sasl.jaas.config": "x"}),
        ("sasl-scram", {"listener.name.host.scram-sha-256.sasl.jaas.config": "x"}),
        ("sasl-plain", {"listener.name.host.plain.sasl.server.callback.handler.class": "a.B"}),
        ("sasl-plain", {"config.providers.file.class": "a.B"}),
        ("sasl-plain", {"config.providers.file.param.allowed.paths": "/tmp"}),
    ],
)
def test_what_would_take_its_place_is_refused(security: str, properties: dict[str, str]) -> None:
    with pytest.raises(InvalidEnvironment, match="1 problem"):
        load_values(_values(security, brokers={"properties": properties}))


@pytest.mark.parametrize(
    ("security", "properties"),
    [
        ("plaintext", {"ssl.keystore.location": "/k.jks", "sasl.enabled.mechanisms": "PLAIN"}),
        ("tls", {"sasl.enabled.mechanisms": "PLAIN"}),
        ("sasl-plain", {"ssl.client.auth": "none"}),
        ("tls", {"ssl.enabled.protocols": "TLSv1.3"}),
        ("tls", {"ssl.enabled.protocols": "TLSv1.2,TLSv1.3", "ssl.protocol": "TLSv1.3"}),
        ("tls", {"ssl.protocol": "TLS"}),
        ("tls", {"ssl.cipher.suites": "TLS_AES_256_GCM_SHA384"}),
        ("sasl-tls", {"connections.max.reauth.ms": "60000"}),
    ],
)
def test_what_takes_nothing_away_is_as_the_file_says(security: str, properties: dict[str, str]) -> None:
    spec = load_values(_values(security, brokers={"properties": properties}))
    (broker,) = resolve_without_ports(spec, container_layout(spec)).nodes
    assert properties.items() <= broker.properties.items()


@pytest.mark.parametrize("security", SECURED)
@pytest.mark.parametrize(
    ("named", "together"),
    [
        ("env", "file,env"),
        ("env, vault", "file,env,vault"),
        ("file", "file"),
        ("vault,file", "file,vault"),
        ("", "file"),
    ],
)
def test_other_providers_of_configuration_are_beside_its_own(security: str, named: str, together: str) -> None:
    properties = {"config.providers": named, "config.providers.env.class": "a.B"}
    if "file" in named:
        properties["config.providers.file.class"] = PROVIDER
    for place in PLACES:
        spec = load_values(_values(security, **place(properties)))
        node = resolve_without_ports(spec, container_layout(spec)).nodes[0]
        assert node.properties["config.providers"] == together
        assert node.properties["config.providers.file.class"] == PROVIDER
        assert node.properties["config.providers.env.class"] == "a.B"


@pytest.mark.parametrize(
    ("file", "properties", "is_decided"),
    [
        ({"security": {"INTERNAL": "mtls"}}, {"ssl.client.auth": "none"}, True),
        ({"security": {"HOST": "sasl-plain"}}, {"listener.name.host.sasl.enabled.mechanisms": "GSSAPI"}, True),
        ({"listeners": {"plain": {}, "secure": {"security": "tls"}}}, {"ssl.keystore.location": "/k.jks"}, True),
        ({"listeners": {"plain": {}, "secure": {"security": "tls"}}}, {"sasl.jaas.config": "x"}, False),
        ({"listeners": {"plain": {}, "other": {}}}, {"ssl.keystore.location": "/k.jks"}, False),
    ],
)
def test_what_the_security_of_any_listener_sets_is_refused(
    file: dict[str, Any], properties: dict[str, str], *, is_decided: bool
) -> None:
    values = {"name": "orders", "kafka": {"mode": "kraft"}, "brokers": {"properties": properties}, **file}
    if not is_decided:
        load_values(values)
        return
    with pytest.raises(InvalidEnvironment, match="decided by security") as caught:
        load_values(values)
    assert not [value for value in properties.values() if value in str(caught.value.problems[0].message)]
