"""The archives of containers: a volume that nodes mount read-only, if it fits their image and is whole."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound, NotFound

from provision.cluster.layout import container_layout
from provision.cluster.model import Cluster
from provision.cluster.resolve import resolve_without_ports
from provision.runtime.docker import archives as docker_archives
from provision.runtime.docker import containers
from provision.runtime.docker.archives import DockerArchives
from provision.spec.loader import load_values

ARCHIVE = b"\xa2\xab\x0b\xf0" + bytes(5000)
CLASS_PATH = "/opt/kafka/libs/a.jar:/opt/kafka/libs/b.jar"


def cluster(**values: object) -> Cluster:
    spec = load_values({"name": "dev", **values}, (), lambda _: None)
    return resolve_without_ports(spec, container_layout(spec))


def volume(name: str, content: bytes | None = ARCHIVE, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A volume as the engine lists it, with its content."""
    own = {
        docker_archives.KIND: "zookeeper-broker",
        docker_archives.IMAGE: "sha256:one",
        docker_archives.CLASS_PATH: CLASS_PATH,
        docker_archives.JAVA: "17",
        docker_archives.SIZE: str(len(ARCHIVE)),
        containers.CREATED: "1000",
    }
    return {"Name": name, "Labels": own | dict(labels or {}), "content": content}


class Engine:
    """The calls of the SDK that choosing an archive needs, answered from memory."""

    def __init__(self, *volumes: Mapping[str, Any], images: Mapping[str, str] | None = None) -> None:
        self.all_volumes = volumes
        self.known_images = {"apache/kafka:3.9.1": "sha256:one"} if images is None else images
        self.created: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.removed: list[str] = []

    def volumes(self, filters: Mapping[str, str]) -> dict[str, Any]:
        """Those with a label."""
        key, _, value = filters["label"].partition("=")
        return {"Volumes": [one for one in self.all_volumes if one["Labels"].get(key) == value]}

    def inspect_image(self, name: str) -> dict[str, Any]:
        """Its id."""
        if name not in self.known_images:
            raise ImageNotFound(name)
        return {"Id": self.known_images[name]}

    def create(self, container: dict[str, Any], host: dict[str, Any]) -> str:
        """Remember a container."""
        self.created.append((container, host))
        return str(len(self.created) - 1)

    def remove_container(self, identity: str, **_: object) -> None:
        """Remember it."""
        self.removed.append(identity)

    def get_archive(self, identity: str, path: str) -> tuple[Iterator[bytes], dict[str, Any]]:
        """The content of the volume that it mounts, in pieces."""
        mounted = {mount["Source"] for mount in self.created[int(identity)][1]["mounts"]}
        content = next((one["content"] for one in self.all_volumes if one["Name"] in mounted), None)
        if content is None:
            raise NotFound(path)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo("archive.jsa")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        text = buffer.getvalue()
        return (text[start : start + 300] for start in range(0, len(text), 300)), {"size": len(content)}


def created(engine: Engine, **values: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration of the broker's container that stays, and its host configuration."""
    described = cluster(**values)
    broker = described.brokers[0]
    container, host = containers.node_options(described, broker, "hash", ())
    identity = DockerArchives(engine).created(described, broker, container, host, engine.create)  # type: ignore[arg-type]
    return engine.created[int(identity)]


def test_without_a_volume_a_container_is_as_described() -> None:
    described = cluster()
    container, host = containers.node_options(described, described.brokers[0], "hash", ())
    stays, stays_host = created(Engine())
    assert stays["entrypoint"] == container["entrypoint"]
    assert stays_host["mounts"] == host["mounts"]


@pytest.mark.parametrize(
    ("volumes", "values", "lacks"),
    [
        ((), {}, True),
        ((volume("kept"),), {}, False),
        ((volume("of another image", labels={docker_archives.IMAGE: "sha256:two"}),), {}, True),
        ((), {"brokers": {"java": {"options": ["-Xshare:off"]}}}, False),
    ],
    ids=["without one", "with one", "with another one", "with its own word on archives"],
)
def test_what_lacks_an_archive_is_told_by_labels(
    volumes: tuple[Mapping[str, Any], ...], values: dict[str, Any], lacks: bool
) -> None:
    described = cluster(**values)
    engine = Engine(*volumes)
    assert DockerArchives(engine).lacks(described, described.brokers[0]) is lacks  # type: ignore[arg-type]
    assert engine.created == []


def test_a_container_mounts_its_archive_read_only_and_names_every_jar() -> None:
    engine = Engine(volume("kept"))
    container, host = created(engine)
    assert container["entrypoint"][:4] == [
        "java",
        "-XX:SharedArchiveFile=/var/lib/provision-archive/archive.jsa",
        "-Xshare:auto",
        "-XX:+VerifySharedSpaces",
    ]
    assert container["entrypoint"][container["entrypoint"].index("-cp") + 1] == CLASS_PATH
    mount = host["mounts"][-1]
    assert (mount["Source"], mount["Target"], mount["ReadOnly"]) == ("kept", "/var/lib/provision-archive", True)
    assert engine.removed == []


def test_an_archive_is_no_part_of_what_defines_a_container() -> None:
    with_it, without = created(Engine(volume("kept")))[0], created(Engine())[0]
    differing = {key for key in with_it if with_it[key] != without[key]}
    assert differing == {"entrypoint"}  # the label with the fingerprint of the files is the same


def test_the_newest_archive_of_several_is_taken() -> None:
    older, newer = volume("older"), volume("newer", labels={containers.CREATED: "2000.5"})
    assert created(Engine(newer, older))[1]["mounts"][-1]["Source"] == "newer"


@pytest.mark.parametrize(
    "other",
    [
        volume("of another image", labels={docker_archives.IMAGE: "sha256:two"}),
        volume("of another kind", labels={docker_archives.KIND: "combined"}),
        volume("without a size", labels={docker_archives.SIZE: "much"}),
    ],
    ids=lambda one: one["Name"],
)
def test_a_volume_that_does_not_fit_is_not_even_tried(other: Mapping[str, Any]) -> None:
    engine = Engine(other)
    container, _ = created(engine)
    assert len(engine.created) == 1
    assert container["entrypoint"][1].startswith("-Xms")


@pytest.mark.parametrize(
    "content",
    [None, b"", ARCHIVE[:100], ARCHIVE + b"more", bytes(len(ARCHIVE))],
    ids=["gone", "empty", "cut off", "longer", "no archive"],
)
def test_an_archive_that_is_not_whole_is_ignored(content: bytes | None) -> None:
    engine = Engine(volume("damaged", content))
    container, _ = created(engine)
    assert container["entrypoint"][1].startswith("-Xms")
    assert engine.removed == ["0"]  # the container that would have mounted it


def test_a_node_with_its_own_word_on_archives_gets_none_of_ours() -> None:
    container, _ = created(Engine(volume("kept")), brokers={"java": {"options": ["-Xshare:off"]}})
    assert "-Xshare:off" in container["entrypoint"]
    assert not any("provision-archive" in word for word in container["entrypoint"])


class Started(Engine):
    """An engine with the containers of an environment, and what their JVMs have written about archives."""

    def __init__(self, logs: Mapping[str, str | None], api_version: str) -> None:
        super().__init__()
        self.logs, self.api_version = logs, api_version
        self.read_from: set[str] = set()

    def volumes(self, filters: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the nodes; none that was created for a reader."""
        if len(filters["label"]) > 1:
            return {"Volumes": None}
        own = {containers.ENVIRONMENT: "dev"}
        return {"Volumes": [{"Name": f"dev-{node}", "Labels": own | {containers.NODE: node}} for node in self.logs]}

    def images(self, **_: object) -> list[str]:
        """One."""
        return ["sha256:1"]

    def create_host_config(self, **options: object) -> dict[str, object]:
        """As given."""
        return options

    def create_container(self, host_config: Mapping[str, Any], **_: object) -> dict[str, str]:
        """What reads a node's volume."""
        return {"Id": f"reads {host_config['mounts'][0]['Source']}"}

    def inspect_container(self, _identity: str) -> dict[str, Any]:
        """It stays."""
        return {"State": {"Status": "running"}}

    def containers(self, **_: object) -> list[dict[str, Any]]:
        """One for each log; those without one have no archive."""
        home = "/var/lib/provision-archive"
        return [
            {
                "Id": node,
                "Labels": {containers.NODE: node},
                "Mounts": [{"Destination": home}] if log is not None else [],
            }
            for node, log in self.logs.items()
        ]

    def get_archive(self, identity: str, path: str) -> tuple[Iterator[bytes], dict[str, Any]]:
        """The log, if there is one."""
        self.read_from.add(identity.partition(" ")[0])
        log = self.logs[identity.removeprefix("reads dev-")]
        assert path.endswith("/log/cds.log")
        if not log:
            raise NotFound(path)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo("cds.log")
            member.size = len(log)
            tar.addfile(member, io.BytesIO(log.encode()))
        return iter([buffer.getvalue()]), {"size": len(log)}


@pytest.mark.parametrize("api_version", ["1.41", "1.43"])
def test_a_jvm_that_did_not_take_its_archive_is_told_of_in_its_own_words(api_version: str) -> None:
    logs = {
        "broker-1": "[0.01s][info][cds] UseSharedSpaces: Checksum verification failed.\n",
        "broker-2": "[0.01s][info][cds] Mapped static region #0 at base 0x0\n",
        "broker-3": "",
        "zookeeper-1": None,
    }
    engine = Started(logs, api_version)
    assert DockerArchives(engine).unused("dev") == {"broker-1": "Checksum verification failed."}  # type: ignore[arg-type]
    directly = {"broker-1", "broker-2", "broker-3"}
    assert engine.read_from == (directly if api_version == "1.43" else {"reads"})  # see `stored.safe`


class Making(Engine):
    """An engine that creates containers by itself, and remembers their limits."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[dict[str, Any]] = []

    def inspect_image(self, name: str) -> dict[str, Any]:
        """Whatever is asked."""
        return {"Id": name, "Config": {"Volumes": None}}

    def create_host_config(self, **limits: object) -> dict[str, Any]:
        """Remember them."""
        self.limits.append(limits)
        return limits

    def create_container(self, **_: object) -> dict[str, Any]:
        """The first one."""
        return {"Id": "0"}


def test_what_stands_back_has_limits() -> None:
    engine = Making()
    kept = DockerArchives(engine)  # type: ignore[arg-type]
    kept.limits = {"cpu_shares": 2, "nano_cpus": 10**9}
    described = cluster()
    with kept._container(described, described.brokers[0], (), []):  # noqa: SLF001
        pass
    assert (engine.limits[0]["cpu_shares"], engine.limits[0]["nano_cpus"]) == (2, 10**9)
    assert engine.removed == ["0"]


class Keeping:
    """An engine with volumes of archives, and the images that it has."""

    def __init__(self, images: set[str], mounted: frozenset[str] = frozenset()) -> None:
        self.images, self.mounted = images, mounted
        self.kept = {
            "fits": {"provision.archive": "broker", "provision.archive-image": "sha256:there"},
            "left": {"provision.archive": "broker", "provision.archive-image": "sha256:gone"},
            "half": {"provision.archive": "gone"},
        }

    def volumes(self, filters: dict[str, str]) -> dict[str, Any]:
        """Those with archives."""
        assert filters == {"label": "provision.archive"}
        return {"Volumes": [{"Name": name, "Labels": labels} for name, labels in self.kept.items()]}

    def inspect_image(self, name: str) -> dict[str, Any]:
        """One that it has."""
        if name not in self.images:
            raise ImageNotFound(name)
        return {"Id": name}

    def remove_volume(self, name: str) -> None:
        """Gone, unless a container has it."""
        if name in self.mounted:
            raise APIError("in use", response=Conflict())  # type: ignore[arg-type]
        del self.kept[name]


class Conflict:
    """An answer that says no."""

    status_code = 409
    reason = "Conflict"
    url = "http://engine"


def test_archives_whose_image_is_gone_are_left_over() -> None:
    engine = Keeping({"sha256:there"})
    found = list(DockerArchives(engine).left())  # type: ignore[arg-type]
    assert {left.place for left in found} == {"volume left", "volume half"}
    assert all(left.remove() for left in found)
    assert engine.kept.keys() == {"fits"}


def test_an_archive_whose_image_is_there_again_or_that_is_mounted_stays() -> None:
    engine = Keeping({"sha256:there"}, frozenset({"half"}))
    found = list(DockerArchives(engine).left())  # type: ignore[arg-type]
    engine.images.add("sha256:gone")
    assert not any(left.remove() for left in found)
    assert engine.kept.keys() == {"fits", "left", "half"}
