"""The archives of nodes that are containers: one per volume, which nodes mount read-only, found by its labels.

The volume is no part of an environment: it has no label of one. It is filled and read through the engine, which may be
on another machine. An image's id stands for its JVM and its jars; the class path is in a label.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import Mount
from msgspec import Struct

from provision.cluster.layout import NODE_HOME
from provision.cluster.model import Cluster, Node
from provision.common.clocks import now_s
from provision.common.values import replace
from provision.errors import ProvisionError, Unavailable
from provision.runtime import archives
from provision.runtime.archives import Archive, Archives, Left
from provision.runtime.base import java_version_in
from provision.runtime.docker import containers as spec
from provision.runtime.docker import ending, stored
from provision.runtime.docker.client import translated
from provision.runtime.docker.images import inspect

KIND, IMAGE, CLASS_PATH, JAVA, SIZE = (
    "provision.archive",
    "provision.archive-image",
    "provision.archive-class-path",
    "provision.archive-java",
    "provision.archive-size",
)
TOOL = "provision.archive-tool"
_HOME, _NAME = "/var/lib/provision-archive", "archive.jsa"
_PLACE = f"{_HOME}/{_NAME}"
_LOGS = f"{NODE_HOME}/log"
_TIMEOUT_S = 600
_READERS = 8
_MEMORY_BYTES = 1024**3
_CLASS_PATH = re.compile(r"^\s*java\.class\.path = (?P<first>.*)\n(?P<rest>(?: {8,}.*\n)*)", re.MULTILINE)


class _Kept(Struct, frozen=True):
    """A volume with an archive, as its labels describe it."""

    volume: str
    class_path: str
    java: int
    size: int
    made_s: float

    @property
    def mount(self) -> Mount:
        """The volume, where nodes have it; the labels are for the one that the engine creates if it has just gone."""
        return Mount(_HOME, self.volume, type="volume", read_only=True, no_copy=True, labels={KIND: "gone"})


class DockerArchives(Archives):
    """The archives of one engine."""

    class_list = f"{_LOGS}/classes.list"

    def __init__(self, api: docker.APIClient) -> None:
        self._api: Any = api
        self.limits: Mapping[str, Any] = {}
        """Further limits of the containers that try and make archives, as of `create_host_config`."""

    # -- use ----------------------------------------------------------------------------------------------------------

    def created(
        self,
        cluster: Cluster,
        node: Node,
        container: dict[str, Any],
        host: dict[str, Any],
        create: Callable[[dict[str, Any], dict[str, Any]], str],
    ) -> str:
        """Create a node's container with the archive that fits, if there is one and it is whole; returns its id.

        Args:
            cluster: the environment.
            node: its node.
            container: the container's configuration.
            host: its host configuration.
            create: creates it from these two.
        """
        kept = self._kept(cluster, node) if archives.takes_archive(node.java_args) else None
        if kept:
            log = f"{_LOGS}/{archives.CDS_LOG}"
            arguments = archives.with_class_path(node.java_args, kept.class_path)
            entrypoint = [node.java, *archives.options(_PLACE, log, kept.java), *arguments]
            identity = create(container | {"entrypoint": entrypoint}, host | {"mounts": [*host["mounts"], kept.mount]})
            if self._is_whole(identity, kept):
                return identity
            ending.remove(self._api, identity, "a draft")
        return create(container, host)

    def _kept(self, cluster: Cluster, node: Node) -> _Kept | None:
        """The newest volume for the node's image."""
        found = self._volumes(f"{KIND}={archives.kind_of(cluster, node)}")
        if not found:
            return None
        image = (inspect(self._api, node.software) or {}).get("Id")
        fitting = [_kept(volume) for volume in found if volume["Labels"].get(IMAGE) == image]
        return max(filter(None, fitting), key=lambda kept: kept.made_s, default=None)

    def _volumes(self, label: str) -> list[Mapping[str, Any]]:
        return self._api.volumes(filters={"label": label})["Volumes"] or []

    def _is_whole(self, container: str, kept: _Kept) -> bool:
        """Whether the archive is in the volume, as long as it was; its checksums are checked by the JVM."""
        try:
            stream, found = self._api.get_archive(container, _PLACE)
        except NotFound:
            return False
        beginning = b""
        for chunk in stream:
            beginning += chunk
            if len(beginning) >= 1024:  # noqa: PLR2004 the header of a tar file has 512 bytes
                break
        stream.close()
        return found["size"] == kept.size and archives.is_archive(beginning[512:])

    def unused(self, name: str) -> dict[str, str]:
        """Read it from what the JVMs have written to the volumes of their nodes."""
        with translated(f"looking at the archives of {name}"):
            ours = self._api.containers(all=True, filters={"label": [f"{spec.ENVIRONMENT}={name}", spec.NODE]})
            with_one = {
                container["Labels"][spec.NODE]: container["Id"]
                for container in ours
                if any(mount.get("Destination") == _HOME for mount in container.get("Mounts") or ())
            }
            with ThreadPoolExecutor(max_workers=_READERS) as pool:
                logs = pool.map(lambda node: self._log(with_one[node], name, node), with_one)
                whys = {node: archives.why_unused(log) for node, log in zip(with_one, logs, strict=True)}
        return {node: why for node, why in whys.items() if why}

    def _log(self, container: str, name: str, node: str) -> str:
        with suppress(NotFound), stored.safe(self._api, container, name, node) as read_from:
            stream, _ = self._api.get_archive(read_from, f"{_LOGS}/{archives.CDS_LOG}")
            return stored.first_file(stream, archives.LARGEST_LOG).decode(errors="replace")
        return ""

    # -- make ---------------------------------------------------------------------------------------------------------

    def fitting(self, cluster: Cluster, node: Node) -> Archive | None:
        """Ask Java itself, in a container of the image."""
        with translated(f"looking for the archive of {node.name}"):
            kept = self._kept(cluster, node)
            if kept is None:
                self._java_and_class_path(cluster, node)  # raises, before a training, if there can be none
                return None
            arguments = archives.trying(_PLACE, kept.class_path)
            with self._container(cluster, node, arguments, [kept.mount]) as identity:
                if not self._is_whole(identity, kept) or self._ran(identity)[0]:
                    return None
            return _archive(cluster, node, kept)

    def lacks(self, cluster: Cluster, node: Node) -> bool:
        """Look at the labels of the volumes."""
        with translated(f"looking for the archive of {node.name}"):
            return archives.takes_archive(node.java_args) and self._kept(cluster, node) is None

    def make(self, cluster: Cluster, node: Node, trained: str) -> Archive:
        """Make it in a container with the trained node's volume, and copy it into a volume of its own."""
        with translated(f"making the archive of {node.name}", _TIMEOUT_S):
            java, class_path = self._java_and_class_path(cluster, node)
            of_training = spec.node_labels(replace(cluster, name=trained), node)
            volume = spec.volume_mount(trained, node.role.node(1), of_training)
            draft = f"{_LOGS}/{_NAME}"
            arguments = archives.making(self.class_list, draft, class_path)
            with self._container(cluster, node, arguments, [volume]) as identity:
                code, output = self._ran(identity)
                if code:
                    raise ProvisionError("Java could not make the archive", why=output[-2000:])
                stream, found = self._api.get_archive(identity, draft)
                image = (inspect(self._api, node.software) or {})["Id"]
                former = [one["Name"] for one in self._volumes(f"{KIND}={archives.kind_of(cluster, node)}")
                          if one["Labels"].get(IMAGE) == image]  # fmt: skip
                labels = {
                    KIND: archives.kind_of(cluster, node),
                    IMAGE: image,
                    CLASS_PATH: class_path,
                    JAVA: str(java),
                    SIZE: str(found["size"]),
                    spec.CREATED: f"{now_s():.3f}",
                }
                kept = self._filled(cluster, node, labels, stream)
            for name in former:
                self._remove(name)
        return _archive(cluster, node, kept)

    def _filled(self, cluster: Cluster, node: Node, labels: Mapping[str, str], content: Iterator[bytes]) -> _Kept:
        """A new volume with these labels and the content of a tar file; none is left if that fails."""
        digest = hashlib.sha256(repr(sorted(labels.items())).encode()).hexdigest()[:16]
        created = self._api.create_volume(f"provision-archive-{digest}", labels=dict(labels))
        kept = _kept(created)
        assert kept is not None  # noqa: S101 the labels are ours
        mount = Mount(_HOME, kept.volume, type="volume", no_copy=True)
        try:
            with self._container(cluster, node, (), [mount]) as identity:
                self._api.put_archive(identity, _HOME, content)
                whole = self._is_whole(identity, kept)
        except BaseException:
            self._remove(kept.volume)
            raise
        if not whole:
            self._remove(kept.volume)
            raise ProvisionError(f"the archive did not arrive whole in the volume {kept.volume}")
        return kept

    def _java_and_class_path(self, cluster: Cluster, node: Node) -> tuple[int, str]:
        """The major version of the image's Java, and the class path with every jar named, sorted by directory."""
        arguments = ("-cp", archives.class_path_of(node.java_args), "-XshowSettings:properties", "-version")
        with self._container(cluster, node, arguments, []) as identity:
            code, output = self._ran(identity)
        java, shown = java_version_in(output), _CLASS_PATH.search(output)
        if code or not shown or not java:
            raise ProvisionError(f"the Java of {node.software} does not tell its class path", why=output[-2000:])
        if java < archives.FIRST_JAVA:
            raise Unavailable(
                f"there are no archives for Java {java}",
                why=f"its JVM cannot make them; {node.software} has it",
                hint=f"nodes start without one; use an image with Java {archives.FIRST_JAVA} or later",
            )
        entries = [line.strip() for line in (shown["first"], *shown["rest"].splitlines())]
        directories = list(dict.fromkeys(entry.rpartition("/")[0] for entry in entries))
        ordered = sorted(entries, key=lambda entry: (directories.index(entry.rpartition("/")[0]), entry))
        return java, ":".join(ordered)

    @contextmanager
    def _container(
        self, cluster: Cluster, node: Node, arguments: Sequence[str], mounts: Sequence[Mount]
    ) -> Iterator[str]:
        """A temporary container of the node's image that runs Java, not started yet."""
        image = inspect(self._api, node.software)
        if image is None:
            raise Unavailable(f"the image {node.software} is not there", hint=f"`docker pull {node.software}`")
        volumes = tuple(image["Config"].get("Volumes") or ())
        host = spec.hardening(memory_bytes=_MEMORY_BYTES, image_volumes=volumes)
        created = self._api.create_container(
            image=node.software,
            entrypoint=[node.java, *arguments],
            command=[],
            user=spec.user_of(cluster, node),
            labels={spec.ROLE: spec.TOOL_ROLE, TOOL: "true", **spec.process_label()},
            host_config=self._api.create_host_config(**host, **self.limits, network_mode="none", mounts=list(mounts)),
        )
        try:
            yield created["Id"]
        finally:
            ending.remove(self._api, created["Id"], "what made an archive")

    def _ran(self, identity: str) -> tuple[int, str]:
        """The exit code and the output of a container, once it has ended."""
        self._api.start(identity)
        code = self._api.wait(identity, timeout=_TIMEOUT_S)["StatusCode"]
        return code, self._api.logs(identity).decode(errors="replace")

    # -- remove -------------------------------------------------------------------------------------------------------

    def left(self) -> Iterator[Left]:
        """Volumes for images that the engine no longer has."""
        with translated("looking at the archives"):
            for volume in self._volumes(KIND):
                image = volume["Labels"].get(IMAGE, "")
                if not self._has(image):
                    kept = _kept(volume)
                    remove = partial(self._remove_left, volume["Name"], image)
                    yield Left(f"volume {volume['Name']}", "its image is gone", remove, kept.made_s if kept else None)

    def _has(self, image: str) -> bool:
        return bool(image) and inspect(self._api, image) is not None

    def _remove_left(self, volume: str, image: str) -> bool:
        with translated(f"removing the archive in {volume}"):
            return not self._has(image) and self._remove(volume)

    def remove_all(self) -> int:
        """Remove the volumes, and what a killed command left of making them."""
        with translated("removing the archives"):
            for container in self._api.containers(all=True, filters={"label": TOOL}):
                ending.remove(self._api, container["Id"], "what made an archive")
            return sum(self._remove(volume["Name"]) for volume in self._volumes(KIND))

    def _remove(self, volume: str) -> bool:
        """Remove a volume, unless a container has it mounted, or it is gone."""
        try:
            self._api.remove_volume(volume)
        except NotFound:
            return False
        except APIError as error:
            if error.status_code != 409:  # noqa: PLR2004 a conflict: it is in use
                raise
            return False
        return True


def _kept(volume: Mapping[str, Any]) -> _Kept | None:
    """What its labels say; None if they are not valid."""
    labels = volume.get("Labels") or {}
    try:
        return _Kept(
            volume["Name"], labels[CLASS_PATH], int(labels[JAVA]), int(labels[SIZE]), float(labels[spec.CREATED])
        )
    except (KeyError, ValueError):
        return None


def _archive(cluster: Cluster, node: Node, kept: _Kept) -> Archive:
    return Archive(archives.kind_of(cluster, node), node.software, kept.java, kept.size, f"volume {kept.volume}")
