"""What is written in the place of `kafka-storage format` is what that writes, on every release line that is known.

Different at each run of the tool, and therefore not compared: the date in the comment of `meta.properties`,
`directory.id`, and the times of the batches in `bootstrap.checkpoint` with the checksums that cover them.
"""

import re
import struct
import subprocess
from pathlib import Path

import pytest

from provision.catalogue.versions import RELEASES, KafkaVersion
from provision.cluster.formatted import BOOTSTRAP, META, formatted
from provision.events import silent
from provision.home.place import Home
from provision.runtime import jars
from provision.runtime.base import format_command
from provision.runtime.process.java import find_java

pytestmark = [pytest.mark.process, pytest.mark.row(None)]

VERSIONS = ("3.3.2", "3.4.1", "3.5.2", "3.6.2", "3.7.2", "3.8.1", "3.9.1", "4.0.0", "4.1.0", "4.1.1", "4.2.0", "4.3.0")
IN_MATRIX = ("3.3.2", "3.9.1", "4.3.0")
"""Those that other tests of `make test-matrix` fetch too; the rest is for `make test-soak`."""
ID = "f0A7b1c2d3e4f5g6h7i8jw"
ROLES = {"broker-1": ("broker,controller", 1), "controller-1": ("controller", 1001), "broker-2": ("broker", 2)}


def _configuration(node: str, data: Path) -> str:
    roles, number = ROLES[node]
    votes = "controller" in roles
    listeners = ["INTERNAL://127.0.0.1:9092"] * ("broker" in roles) + ["CONTROLLER://127.0.0.1:9093"] * votes
    settings = {
        "process.roles": roles,
        "node.id": number,
        "log.dirs": data,
        "controller.quorum.voters": f"{number if votes else 1}@127.0.0.1:9093",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(listeners),
        "listener.security.protocol.map": "INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        **({"inter.broker.listener.name": "INTERNAL"} if "broker" in roles else {}),
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _comparable(name: str, content: bytes) -> bytes:
    if name == META:
        text = re.sub(r"^#\w{3} \w{3} \d\d [\d:]{8} \w+ \d{4}$", "#DATE", content.decode(), flags=re.MULTILINE)
        return re.sub(r"^directory\.id=[\w-]{22}$", "directory.id=ID", text, flags=re.MULTILINE).encode()
    shown, at = bytearray(content), 0
    while at < len(content):
        shown[at + 17 : at + 21] = bytes(4)  # the checksum
        shown[at + 27 : at + 43] = bytes(16)  # the first and the last time
        at += 12 + int(struct.unpack_from(">i", content, at + 8)[0])
    return bytes(shown)


@pytest.mark.parametrize(
    ("version", "node"),
    [
        *(
            pytest.param(version, "broker-1", marks=pytest.mark.matrix if version in IN_MATRIX else pytest.mark.soak)
            for version in VERSIONS
        ),
        *(
            pytest.param(version, node, marks=pytest.mark.matrix)
            for version in ("3.3.2", "3.9.1", "4.3.0")
            for node in ("controller-1", "broker-2")
        ),
    ],
)
def test_the_files_are_those_of_the_tool(version: str, node: str, tmp_path: Path) -> None:
    release = KafkaVersion.parse(version)
    libs = Home.of(None).jars(release)
    jars.fetch(release, libs, silent)
    data, config = (
        tmp_path / "data",
        tmp_path / ("controller.properties" if "controller" in node else "server.properties"),
    )
    data.mkdir()
    config.write_text(_configuration(node, data))
    command = format_command(node, ID, tmp_path.as_posix())
    java = [find_java(release).command, "-Xmx256m", "-Xshare:auto", "-XX:TieredStopAtLevel=1"]
    done = subprocess.run(
        [*java, "-cp", f"{libs}/*", command.main_class, *command.arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    ours = formatted(release, ROLES[node][1], ID, config.read_text(), data.as_posix())
    assert ours is not None
    theirs = {file.name: file.read_bytes() for file in data.iterdir()}
    assert ours.keys() == theirs.keys() == {BOOTSTRAP, META}
    for name, content in ours.items():
        assert _comparable(name, content) == _comparable(name, theirs[name])


def test_every_release_line_with_kraft_is_compared() -> None:
    lines = {KafkaVersion.parse(version) for version in VERSIONS}
    first = KafkaVersion(3, 3, 0)
    for release in RELEASES:
        if release.first >= first:
            assert any((v.major, v.minor) == (release.first.major, release.first.minor) for v in lines)
