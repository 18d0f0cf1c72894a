"""The Kafka version, and versions in properties."""

import re
from collections.abc import Iterator

from provision.catalogue.versions import KRAFT, KafkaVersion
from provision.spec.defaults import mode_of
from provision.spec.lint.known import facts, is_beyond, line_name, line_of
from provision.spec.lint.settings import is_reference, places, version_of
from provision.spec.model import EnvironmentSpec
from provision.spec.rules import Finding, RuleReads

PROTOCOL = "inter.broker.protocol.version"
_FORMATS = ("log.message.format.version", "message.format.version")
_RELEASE = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})(?:\.[0-9]{1,2}){0,2}(?:-IV[0-9]{1,2})?")
_LAST_FORMAT = (0, 11)
_NO_FORMATS_FROM = (3, 0)


def newer_than_known(spec: EnvironmentSpec) -> Iterator[Finding]:
    """A version that is not known yet is treated like the newest known one."""
    version = version_of(spec)
    if version and is_beyond(version):
        newest = line_name(line_of(version))
        message = f"Kafka {version} is newer than this program knows: it is treated like {newest}"
        yield Finding(("kafka", "version"), message, "a newer provision may know it", warning=True)


def named_versions(spec: EnvironmentSpec) -> Iterator[Finding]:
    """The inter-broker protocol and the message format are versions of Kafka, no newer than kafka.version."""
    version = version_of(spec)
    if version is None:
        return
    for place in places(spec):
        for key in (PROTOCOL, *_FORMATS):
            if key not in place.properties or facts(place.section, key, line_of(version)) is None:
                continue
            path, text = (*place.path, key), place.properties[key]
            if is_reference(text):
                continue
            release = _RELEASE.fullmatch(text.strip())
            if not release:
                yield Finding(path, f"{text!r} is not a Kafka version", f"write one like {_short(version)}")
            elif (named := (int(release[1]), int(release[2]))) > (version.major, version.minor):
                message = f"{text} is newer than kafka.version {version}"
                yield Finding(path, message, "remove it, or raise kafka.version")
            elif behind := _behind(spec, version, key, named):
                yield Finding(path, *behind, warning=True)


def _behind(spec: EnvironmentSpec, version: KafkaVersion, key: str, named: tuple[int, int]) -> tuple[str, str] | None:
    release = f"{named[0]}.{named[1]}"
    if key != PROTOCOL and (version.major, version.minor) >= _NO_FORMATS_FROM:
        return "it means nothing from Kafka 3.0 on: messages have one format", "remove it"
    if key == PROTOCOL and mode_of(spec) == KRAFT:
        message = "in kraft mode it only says with which metadata.version new storages are formatted"
        return message, "remove it, and see kafka-features for metadata.version"
    if named == (version.major, version.minor):
        return None
    if key == PROTOCOL:
        message = f"brokers of {version} still use the protocol of {release}"
        return message, "remove it when every broker runs the new version: that finishes the upgrade"
    if named >= _LAST_FORMAT:
        return (
            f"it changes nothing: messages have one format from Kafka {_LAST_FORMAT[0]}.{_LAST_FORMAT[1]} on",
            "remove it",
        )
    return f"brokers of {version} convert every message to the format of {release}, which knows no headers", "remove it"


def _short(version: KafkaVersion) -> str:
    return f"{version.major}.{version.minor}"


RULES: tuple[RuleReads, ...] = (
    (newer_than_known, (("kafka", "version"),)),
    (named_versions, (("kafka", "version"), ("kafka", "mode"))),
)
