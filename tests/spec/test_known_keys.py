"""The keys of each release line, as they are packaged."""

import pytest

from provision.catalogue.versions import RELEASES, KafkaVersion
from provision.spec.lint.known import BROKER, TOPIC, facts, is_beyond, keys, line_name, line_of, lines, names, span
from provision.spec.reserved import RESERVED_BROKER
from scripts.known_keys.generate import SECTIONS, VERSIONS, Facts, read, spans

KEYS = {section: {key for line in range(len(lines())) for key in names(section, line)} for section in SECTIONS}


def line(version: str) -> int:
    return line_of(KafkaVersion.parse(version))


def test_every_line_of_the_catalogue_is_there_and_in_order() -> None:
    assert [str(version) for version in lines()] == list(VERSIONS)
    assert list(lines()) == sorted(lines())
    covered = {(version.major, version.minor) for version in lines()}
    assert {(release.first.major, release.first.minor) for release in RELEASES} <= covered


def test_a_version_has_the_line_that_is_not_newer_than_it() -> None:
    assert [line_name(line(version)) for version in ("2.8.0", "2.9.9", "3.6.0", "3.9.2", "4.3.9", "4.9.0")] == [
        "2.8", "2.8", "3.6", "3.9", "4.3", "4.3",
    ]  # fmt: skip
    assert is_beyond(KafkaVersion(4, 9, 0))
    assert not is_beyond(KafkaVersion(4, 3, 7))


@pytest.mark.parametrize("number", range(len(lines())), ids=line_name)
def test_every_line_has_as_many_keys_as_it_must_and_takes_its_own_defaults(number: int) -> None:
    assert len(list(names(BROKER, number))) > 200
    assert len(list(names(TOPIC, number))) >= 26
    for section in SECTIONS:
        for key in names(section, number):
            said = facts(section, key, number)
            assert said
            assert said.default is None or said.demand(said.default) == "", key
            assert said.broker_key is None or said.broker_key in KEYS[BROKER] | KEYS[TOPIC], key


def test_what_is_certain_of_some_keys() -> None:
    assert span(BROKER, "zookeeper.connect") == (line("2.8.0"), line("3.9.0"))
    assert span(BROKER, "process.roles") == (line("2.8.0"), len(lines()) - 1)
    assert span(TOPIC, "message.format.version") == (line("2.8.0"), line("3.9.0"))
    assert span(TOPIC, "compression.zstd.level") == (line("3.8.0"), len(lines()) - 1)
    assert span(TOPIC, "num.io.threads") is None
    threads = facts(BROKER, "num.io.threads", line("3.9.1"))
    assert threads
    assert (threads.type, threads.low, threads.high, threads.default) == ("int", 1, None, "8")
    retention = facts(TOPIC, "retention.ms", line("3.9.1"))
    assert retention
    assert (retention.low, retention.broker_key) == (-1, "log.retention.ms")
    segments = [facts(BROKER, "log.segment.bytes", line(version)) for version in ("3.9.1", "4.0.0")]
    assert [said and said.low for said in segments] == [14, 1024**2]
    assert not {"unstable.api.versions.enable", "internal.segment.bytes"} & (KEYS[BROKER] | KEYS[TOPIC])


def test_reserved_properties_are_keys_of_some_line() -> None:
    assert set(RESERVED_BROKER) <= KEYS[BROKER]


@pytest.mark.parametrize(
    ("section", "key", "version", "good", "bad"),
    [
        (BROKER, "num.io.threads", "3.9.1", ("1", "+8", " 8 "), ("0", "-1", "8.0", "1_0", "", "2147483648")),
        (BROKER, "log.cleaner.enable", "2.8.2", ("true", "FALSE"), ("yes", "1", "")),
        (BROKER, "num.io.threads", "4.3.0", (), ("9" * 5000,)),
        (TOPIC, "min.cleanable.dirty.ratio", "4.3.0", ("0", "1", ".5", "5e-1"), ("1.1", "-0.1", "half", "1e", "")),
        (TOPIC, "compression.gzip.level", "3.9.1", ("-1", "1", "9"), ("0", "10", "-2")),
        (TOPIC, "cleanup.policy", "3.9.1", ("compact", "delete, compact"), ("Compact", "compact;delete")),
        (TOPIC, "compression.type", "3.9.1", ("zstd", "producer"), ("ZSTD", "brotli", "")),
        (BROKER, "offsets.topic.replication.factor", "3.3.2", ("3",), ("40000",)),
        (BROKER, "log.retention.ms", "3.9.1", ("-1", "9223372036854775807"), ("9223372036854775808", "1h")),
        (BROKER, "principal.builder.class", "3.9.1", ("com.example.Anything",), ()),
    ],
)  # fmt: skip
def test_values_are_read_as_java_reads_them(
    section: str, key: str, version: str, good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    said = facts(section, key, line(version))
    assert said
    assert [text for text in good if said.demand(text)] == []
    assert [text for text in bad if not said.demand(text)] == []


def test_spans_join_what_is_the_same_and_keep_apart_what_is_not() -> None:
    whole, text = {"type": "int"}, {"type": "string"}
    of_versions: list[dict[str, Facts]] = [{"a": whole}, {"a": whole, "b": text}, {"a": text}, {"a": text, "b": text}]
    assert spans(of_versions) == {"a": [[0, 1, whole], [2, 3, text]], "b": [[1, 1, text], [3, 3, text]]}


@pytest.mark.matrix
@pytest.mark.parametrize("version", ["2.8.2", "3.9.1", "4.3.0"])
def test_the_jars_still_say_what_is_packaged(version: str) -> None:
    said = read(version)
    for section in SECTIONS:
        number = line(version)
        assert said[section].keys() == {key for key in keys(section) if facts(section, key, number)}
        assert {key for key, one in said[section].items() if not one.get("internal")} == set(names(section, number))
        for key, one in said[section].items():
            packaged = facts(section, key, number)
            assert packaged
            assert (packaged.type, packaged.low, packaged.high, packaged.default) == (
                one["type"], one.get("min"), one.get("max"), one.get("default"),
            )  # fmt: skip
            assert packaged.one_of == tuple(one.get("one_of", ()))
