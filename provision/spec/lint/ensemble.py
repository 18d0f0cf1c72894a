"""Settings that prevent an ensemble from starting, or are risky.

ZooKeeper has no table of its keys, and passes unknown ones on as system properties, so names are not checked.
Source: ZooKeeper Administrator's Guide, "Configuration Parameters".
"""

from collections.abc import Iterator

from provision.catalogue.images import zookeeper_line_of
from provision.catalogue.versions import ZOOKEEPER, release_of
from provision.security.ensemble import FIRST_LINE, closes
from provision.spec.defaults import mode_of
from provision.spec.lint.known import Facts, whole_number
from provision.spec.lint.settings import brokers, version_of
from provision.spec.listeners import security_of
from provision.spec.model import EnvironmentSpec
from provision.spec.rules import Finding, RuleReads

SESSION = "zookeeper.session.timeout.ms"
DEFAULT_TICK_MS = 2000
_WHOLE_NUMBERS = (
    "tickTime",
    "initLimit",
    "syncLimit",
    "maxClientCnxns",
    "minSessionTimeout",
    "maxSessionTimeout",
    "autopurge.snapRetainCount",
    "autopurge.purgeInterval",
)


def numbers(spec: EnvironmentSpec) -> Iterator[Finding]:
    """Keys that require whole numbers have them; otherwise a server does not start."""
    if version_of(spec) is None or mode_of(spec) != ZOOKEEPER:
        return
    for key in _WHOLE_NUMBERS:
        text = spec.zookeeper.properties.get(key)
        if text is not None and (demand := Facts("int").demand(text)):
            yield Finding(("zookeeper", "properties", key), f"must be {demand}, not {text!r}")


def session(spec: EnvironmentSpec) -> Iterator[Finding]:
    """The session timeout that brokers request is within the ensemble's limits."""
    if version_of(spec) is None or mode_of(spec) != ZOOKEEPER:
        return
    tick_ms = _number(spec, "tickTime") or DEFAULT_TICK_MS
    low, high = _granted(spec, "minSessionTimeout", 2 * tick_ms), _granted(spec, "maxSessionTimeout", 20 * tick_ms)
    for settings in brokers(spec):
        asked, place = settings.number(SESSION), settings.place(SESSION)
        if place and asked is not None and not low <= asked <= high:
            granted = min(max(asked, low), high)
            message = (
                f"ZooKeeper grants {low} to {high} ms (2 to 20 times tickTime unless told otherwise): it is {granted}"
            )
            yield Finding(place, message, "choose one of these, or change tickTime", warning=True)


def _granted(spec: EnvironmentSpec, key: str, usual: int) -> int:
    said = _number(spec, key)
    return usual if said is None or said < 0 else said


def made_for(spec: EnvironmentSpec) -> Iterator[Finding]:
    """The ensemble is of the release line that the Kafka version was built for, or newer."""
    version, image = version_of(spec), spec.zookeeper.image
    if version is None or image is None or mode_of(spec) != ZOOKEEPER:
        return
    wanted, line = release_of(version).zookeeper, zookeeper_line_of(image)
    if line and line < tuple(map(int, wanted.split("."))):
        message = f"Kafka {version} was made for ZooKeeper {wanted}, and {image} is older"
        yield Finding(("zookeeper", "image"), message, f"use one of {wanted}", warning=True)


def dangers(spec: EnvironmentSpec) -> Iterator[Finding]:
    """The ensemble keeps acknowledged writes, and its access control."""
    properties = spec.zookeeper.properties
    if properties.get("skipACL", "").lower() == "yes":
        message = "whoever reaches ZooKeeper may change all that Kafka keeps there"
        yield Finding(("zookeeper", "properties", "skipACL"), message, "remove it", warning=True)
    if properties.get("forceSync", "").lower() == "no" and spec.storage != "memory":
        message = "a crash of the machine can lose what ZooKeeper has acknowledged, while brokers keep their data"
        hint = "remove it; with `storage: memory` it is set anyway"
        yield Finding(("zookeeper", "properties", "forceSync"), message, hint, warning=True)


def closed(spec: EnvironmentSpec) -> Iterator[Finding]:
    """With `security`, nobody gets anything out of the ensemble without a certificate."""
    if version_of(spec) is None or mode_of(spec) != ZOOKEEPER or not closes(security_of(spec)):
        return
    if spec.zookeeper.properties.get("admin.enableServer", "").lower() == "true":
        message = f"ZooKeeper's admin server answers everybody, and security: {security_of(spec).name} closes ZooKeeper"
        path = ("zookeeper", "properties", "admin.enableServer")
        yield Finding(path, message, "remove it: `provision status` and `provision doctor` ask with a certificate")
    line = zookeeper_line_of(spec.zookeeper.image or "")
    if line and line < FIRST_LINE:
        first = ".".join(map(str, FIRST_LINE))
        message = f"security: {security_of(spec).name} closes ZooKeeper with TLS, which it has from {first} on"
        yield Finding(("zookeeper", "image"), message, f"use one of {first} or later")


def _number(spec: EnvironmentSpec, key: str) -> int | None:
    return whole_number(spec.zookeeper.properties.get(key))


_KAFKA, _ENSEMBLE = (("kafka", "version"), ("kafka", "mode")), ("zookeeper", "properties")
RULES: tuple[RuleReads, ...] = (
    (numbers, (*_KAFKA, _ENSEMBLE)),
    (session, (*_KAFKA, _ENSEMBLE, ("brokers",))),
    (made_for, (*_KAFKA, ("zookeeper", "image"))),
    (dangers, (_ENSEMBLE, ("storage",))),
    (closed, (*_KAFKA, _ENSEMBLE, ("zookeeper", "image"), ("listeners",), ("security",))),
)
