"""The files of a formatted storage: those of the tool, byte for byte, and only where nothing else could be written.

That every release line is met is shown with the tool itself, in `tests/matrix/test_formatted.py`.
"""

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.catalogue.versions import KRAFT, NEWEST, KafkaVersion, features_of, release_of
from provision.cluster.formatted import BOOTSTRAP, META, bootstrap_checkpoint, formatted, meta_properties

ID = "f0A7b1c2d3e4f5g6h7i8jw"
DATA = "/var/lib/provision/data"
CONFIGURATION = f"""
process.roles=broker,controller
node.id=1
log.dirs={DATA}
controller.quorum.voters=1@localhost:9093
listeners=INTERNAL://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093
"""
# What `kafka-storage format` wrote; the times of its three batches are within a second.
OF_THE_TOOL = {
    "3.3.2": (
        "00000000000000000000004700000000022da975c9002000000000000001a216c7cddb000001a216c7cddbffffffffff"
        "ffffffffffffffffff000000012a00000008000000031600000000000000000000000000000000000000010000004f00"
        "0000000216d080c7000000000000000001a216c7ce4b000001a216c7ce4bffffffffffffffffffffffffffff00000001"
        "3a000000012e010c00116d657461646174612e76657273696f6e0007000000000000000000020000003f000000000215"
        "5be682002000000000000001a216c7ce4f000001a216c7ce4fffffffffffffffffffffffffffff000000011a00000008"
        "000000040600000000"
    ),
    "4.3.0": (
        "0000000000000000000000470000000002d8076410002000000000000001a216c8fab5000001a216c8fab5ffffffffff"
        "ffffffffffffffffff000000012a0000000800000003160000000000000000000000000000000000000001000000f100"
        "00000002a36b886b000000000005000001a216c8faf8000001a216c8faf8ffffffffffffffffffffffffffff00000006"
        "3a000000012e010c00116d657461646174612e76657273696f6e001e00005a000002014e010c0021656c696769626c65"
        "2e6c65616465722e7265706c696361732e76657273696f6e00010000340000040128010c000e67726f75702e76657273"
        "696f6e00010000340000060128010c000e73686172652e76657273696f6e0001000038000008012c010c001073747265"
        "616d732e76657273696f6e000100004000000a0134010c00147472616e73616374696f6e2e76657273696f6e00020000"
        "00000000000000070000003f0000000002f1e6f417002000000000000001a216c8fafc000001a216c8fafcffffffffff"
        "ffffffffffffffffff000000011a00000008000000040600000000"
    ),
}
TIMES = [(begins, begins + 8) for begins in (27, 35)]
CHECKSUM = (17, 21)


def batches(checkpoint: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(checkpoint):
        (length,) = struct.unpack_from(">i", checkpoint, at + 8)
        found.append(checkpoint[at : at + 12 + length])
        at += 12 + length
    return found


def features(version: str) -> tuple[tuple[str, int], ...]:
    found = features_of(KafkaVersion.parse(version))
    assert found is not None
    return found


@pytest.mark.parametrize("version", OF_THE_TOOL)
def test_each_batch_with_its_checksum_is_that_of_the_tool(version: str) -> None:
    theirs = batches(bytes.fromhex(OF_THE_TOOL[version]))
    assert len(theirs) == 3
    for number, batch in enumerate(theirs):
        (written_ms,) = struct.unpack_from(">q", batch, TIMES[0][0])
        assert batches(bootstrap_checkpoint(features(version), written_ms))[number] == batch


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_times_change_only_the_times_and_checksums(one_ms: int, another_ms: int) -> None:
    for one, another in zip(
        *(batches(bootstrap_checkpoint(features("4.1.0"), ms)) for ms in (one_ms, another_ms)), strict=True
    ):
        differing = {at for at, (ours, theirs) in enumerate(zip(one, another, strict=True)) if ours != theirs}
        assert differing <= {at for begins, ends in (*TIMES, CHECKSUM) for at in range(begins, ends)}


def test_the_note_of_the_ids_is_what_java_writes() -> None:
    now_s = 1795678509.0  # a day and an hour of one digit
    written = meta_properties(1001, ID, "aZ_JmnEBZg6qshEqynSeXg", now_s).decode()
    lines = written.splitlines()
    assert re.fullmatch(r"#[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d UTC \d{4}", lines[1])
    assert [lines[0], *lines[2:]] == [
        "#",
        "node.id=1001",
        "directory.id=aZ_JmnEBZg6qshEqynSeXg",
        "version=1",
        f"cluster.id={ID}",
    ]
    assert meta_properties(1, ID, "", 1795680000.0) == (
        f"#\n#{'Thu Nov 26 08:00:00 UTC 2026'}\nnode.id=1\nversion=1\ncluster.id={ID}\n".encode()
    )
    assert meta_properties(1, ID, "", 1772856369.0).splitlines()[1] == b"#Sat Mar 07 04:06:09 UTC 2026"


def test_only_from_3_7_on_a_directory_has_an_id_which_is_never_the_same() -> None:
    found = [formatted(KafkaVersion(3, minor, 0), 1, ID, CONFIGURATION, DATA) or {} for minor in (6, 7, 7)]
    ids = [re.findall(r"^directory\.id=([\w-]{22})$", files[META].decode(), re.MULTILINE) for files in found]
    assert [len(one) for one in ids] == [0, 1, 1]
    assert ids[1] != ids[2]
    assert not any(text.startswith("-") for one in ids for text in one)


def test_what_makes_a_storage_formatted_is_written_last() -> None:
    assert list(formatted(KafkaVersion(3, 9, 1), 1, ID, CONFIGURATION, DATA) or ()) == [BOOTSTRAP, META]


@pytest.mark.parametrize("version", [version for version in NEWEST if KRAFT in release_of(version).modes], ids=str)
def test_the_features_of_every_release_line_are_known(version: KafkaVersion) -> None:
    if version >= KafkaVersion(3, 3, 0):
        assert formatted(version, 1, ID, CONFIGURATION, DATA)


@pytest.mark.parametrize(
    "configuration",
    [
        CONFIGURATION.replace("node.id=1", "node.id=none"),
        CONFIGURATION.replace("node.id=1", "node.id=2"),
        CONFIGURATION.replace("node.id=1", ""),
        CONFIGURATION.replace(DATA, f"{DATA},/elsewhere"),
        CONFIGURATION.replace(f"log.dirs={DATA}", f"log.dir={DATA}"),
        CONFIGURATION.replace("process.roles", "roles"),
        CONFIGURATION.replace("controller.quorum.voters", "controller.quorum.bootstrap.servers"),
        f"{CONFIGURATION}metadata.log.dir=/elsewhere\n",
        f"{CONFIGURATION}inter.broker.protocol.version=3.8\n",
        f"{CONFIGURATION}unstable.feature.versions.enable=true\n",
        f"{CONFIGURATION}node.id=1\n",
        CONFIGURATION.replace("node.id=1", "node.id=${env:ID}"),
        "",
        "\0",
    ],
)
def test_whatever_the_tool_might_heed_is_left_to_it(configuration: str) -> None:
    assert formatted(KafkaVersion(3, 9, 1), 1, ID, configuration, DATA) is None


@pytest.mark.parametrize("version", [(2, 8, 2), (3, 10, 0), (4, 4, 0), (5, 0, 0)])
def test_an_unknown_release_is_left_to_the_tool(version: tuple[int, int, int]) -> None:
    assert formatted(KafkaVersion(*version), 1, ID, CONFIGURATION, DATA) is None
