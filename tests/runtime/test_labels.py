"""What the engine lists is labelled by anybody and changed by anybody: nothing of it misleads."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from docker.errors import NotFound
from hypothesis import given
from hypothesis import strategies as st

from provision.cluster.model import UNREADABLE, is_node_name
from provision.common.endpoints import is_endpoint
from provision.common.whole_files import MAX_BYTES
from provision.plan.observed import ObservedEnvironment
from provision.runtime import directories
from provision.runtime.docker import containers as spec
from provision.runtime.docker.runtime import DockerRuntime
from tests.mutations import ODD_VALUES

NAME, ID = "labelled", "fwAAAAAAAAAAAAAAAAAAAA"
ENVIRONMENT = {
    spec.ENVIRONMENT: NAME,
    spec.SOFTWARE: "apache/kafka:3.9.1",
    spec.VERSION: "3.9.1",
    spec.MODE: "kraft",
    spec.STORAGE: "volume",
    spec.CREATED: "1790000000",
    spec.TTL: "60",
    spec.CLUSTER_ID: ID,
}
NODE = ENVIRONMENT | {
    spec.NODE: "broker-1",
    spec.ROLE: "broker",
    spec.HASH: "0123",
    spec.ENDPOINT: "127.0.0.1:9092",
    spec.LISTENERS: "PLAIN plaintext 127.0.0.1:9092, SECURE sasl-tls 127.0.0.1:9192",
    spec.INSIDE: f"{NAME}-broker-1:9092",
}
ODD = [value for value in ODD_VALUES if isinstance(value, str)]


class Engine:
    """The calls by which the runtime looks."""

    api_version = "1.43"

    def __init__(
        self, container: Mapping[str, str] | None, network: Mapping[str, str], volume: Mapping[str, str]
    ) -> None:
        self._container, self._network, self._volume = container, network, volume
        self.removed: list[str] = []
        self.archive: bytes | None = None

    def containers(self, **_: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """One, if any."""
        labels = self._container
        found: dict[str, Any] = {
            "Id": "1",
            "Names": [f"/{NAME}-broker-1"],
            "State": "running",
            "ImageID": "sha256:1",
            "Labels": labels,
        }
        found["NetworkSettings"] = {"Networks": {}}
        return [] if labels is None else [found]

    def networks(self, **_: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """One."""
        return [{"Name": NAME, "Labels": self._network}]

    def volumes(self, **_: Any) -> dict[str, Any]:  # noqa: ANN401
        """One."""
        return {"Volumes": [{"Name": f"{NAME}-broker-1", "Labels": self._volume}]}

    def inspect_volume(self, name: str) -> dict[str, Any]:
        """That one."""
        return {"Name": name, "Labels": self._volume}

    def remove_volume(self, name: str) -> None:
        """Noted."""
        self.removed.append(name)

    def inspect_container(self, _container: str) -> dict[str, Any]:
        """It stays."""
        return {"State": {"Status": "running"}}

    def get_archive(self, _container: str, _path: str) -> tuple[list[bytes], None]:
        """The archive, in two pieces."""
        if self.archive is None:
            raise NotFound("there is no such directory")
        return [self.archive[:100], self.archive[100:]], None


def runtime_on(engine: Engine) -> DockerRuntime:
    runtime = object.__new__(DockerRuntime)
    vars(runtime)["_api"] = engine  # in place of a connection
    return runtime


def observed(**labels: Mapping[str, str] | None) -> ObservedEnvironment:
    things: dict[str, Any] = {"container": NODE, "network": ENVIRONMENT, "volume": NODE, **labels}
    return runtime_on(Engine(**things)).observe(NAME, ["broker-1"])


def test_valid_labels_are_read() -> None:
    found = observed()
    (node,) = found.nodes
    assert (node.name, node.role, node.endpoint, node.version) == ("broker-1", "broker", "127.0.0.1:9092", "3.9.1")
    assert (found.cluster_id, found.mode, found.created_s, found.ttl_s) == (ID, "kraft", 1790000000, 60)
    assert found.unidentified == ""


def changes() -> st.SearchStrategy[dict[str, str]]:
    keys = [key for key in NODE if key != spec.ENVIRONMENT]
    texts = st.sampled_from(ODD) | st.text(max_size=20)

    def changed(puts: dict[str, str], drops: set[str]) -> dict[str, str]:
        return {key: text for key, text in (NODE | puts).items() if key not in drops}

    return st.builds(changed, st.dictionaries(st.sampled_from(keys), texts, max_size=3), st.sets(st.sampled_from(keys)))


@given(container=changes(), network=changes(), volume=changes())
def test_whatever_labels_say_it_misleads_nothing(
    container: dict[str, str], network: dict[str, str], volume: dict[str, str]
) -> None:
    found = observed(container=container, network=network, volume=volume)
    assert all(is_node_name(name) for name in (*found.storages, *(node.name for node in found.nodes)))
    assert all(node.endpoint is None or is_endpoint(node.endpoint) for node in found.nodes)
    assert all(node.number > 0 for node in found.nodes)
    assert found.storage in ("", "volume", "memory") or Path(found.storage).is_absolute()
    assert found.created_s is None or found.created_s >= 0
    assert not found.is_absent
    runtime = runtime_on(Engine(container, network, volume))
    assert runtime.environments() == (NAME,)
    assert is_endpoint(runtime.inside_address(NAME, "broker-1") or "none:1")


def test_a_label_that_is_a_path_leads_to_no_directory(tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    kept = directories.create(tmp_path, "outside", NAME) / "kept"
    kept.write_text("kept")
    volume = NODE | {spec.NODE: "../outside", spec.STORAGE: str(storage)}
    found = observed(volume=volume)
    assert found.storages == frozenset()
    runtime_on(Engine(None, ENVIRONMENT, volume)).remove_storage(NAME, "broker-1", delete_data=True)
    assert kept.exists()


def test_without_a_label_that_tells_it_the_id_of_kept_data_is_unknown_and_said_to_be() -> None:
    lost = {key: text for key, text in NODE.items() if key != spec.CLUSTER_ID}
    assert observed(container=None, network=lost, volume=lost).unidentified
    assert observed(container=None, network=lost, volume=NODE).cluster_id == ID
    of_zookeeper = lost | {spec.MODE: "zookeeper"}
    assert not observed(container=None, network=of_zookeeper, volume=of_zookeeper).unidentified


def archive(*members: tuple[str, bytes | None, bytes]) -> bytes:
    """A tar file of members: name, content, and type."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content or b""), "/etc/hostname"
            tar.addfile(member, io.BytesIO(content or b""))
    return buffer.getvalue()


DIRECTORY = ("config", None, tarfile.DIRTYPE)
FILE = ("config/server.properties", b"a=1\n", tarfile.REGTYPE)


def read(content: bytes | None) -> dict[str, bytes]:
    engine = Engine(NODE, ENVIRONMENT, NODE)
    engine.archive = content
    return {file.name: file.content for file in runtime_on(engine).read_files(NAME, "broker-1")}


def test_the_files_of_a_container_are_read() -> None:
    assert read(archive(DIRECTORY, FILE)) == {"server.properties": b"a=1\n"}


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_file_cannot_be_read(kind: bytes) -> None:
    assert read(archive(DIRECTORY, ("config/launch.json", None, kind), FILE)) == {
        "launch.json": UNREADABLE,
        "server.properties": b"a=1\n",
    }


def test_a_file_in_a_directory_does_not_stand_for_another() -> None:
    below = ("config/old/server.properties", b"a=2\n", tarfile.REGTYPE)
    assert read(archive(DIRECTORY, FILE, below))["server.properties"] == b"a=1\n"


def test_a_huge_file_is_not_read() -> None:
    huge = ("config/launch.json", b"\n" * (MAX_BYTES + 1), tarfile.REGTYPE)
    assert read(archive(DIRECTORY, huge, FILE))["launch.json"] == UNREADABLE


@pytest.mark.parametrize("content", [None, b"", b"x" * 2000, archive(DIRECTORY, FILE)[:700]])
def test_without_a_readable_directory_there_are_no_files(content: bytes | None) -> None:
    assert read(content) in ({}, {"server.properties": UNREADABLE})
