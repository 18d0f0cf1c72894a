"""The images of one engine: find, list, build, load and inspect them. Each method is one or two calls."""

import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import IO, Any, BinaryIO, cast

from docker.errors import APIError, NotFound
from docker.utils import match_tag
from msgspec import Struct

from provision.catalogue.images import APACHE_KAFKA
from provision.catalogue.versions import version_of
from provision.common.interrupts import end_if, shielded
from provision.errors import ProvisionError, Unavailable
from provision.events import Fetching, Listener
from provision.runtime.docker import images
from provision.runtime.docker.client import connect, translated
from provision.runtime.docker.containers import (
    ENVIRONMENT,
    ROLE,
    SOFTWARE,
    TOOL_ROLE,
    VERSION,
    hardening,
    process_label,
)
from provision.runtime.docker.image_recipe import BASE, IMAGE, KAFKA, Recipe

# The engine answers only once it has stored the hundreds of megabytes that were sent.
_STORE_TIMEOUT_S = 600
_RUN_TIMEOUT_S = 60
_RUN_MEMORY_BYTES = 512 * 1024**2
_CHUNK = 1024**2
_NOTHING_TO_RUN = re.compile(r"executable file not found|no such file or directory|permission denied")
_STEP = re.compile(r" ---> ([0-9a-f]{12,64})$")
_LOADED = re.compile(r"Loaded image(?: ID)?: (\S+)")
_SHORT_ID = 19  # `sha256:` and twelve digits, as docker shows it


class Details(Struct, frozen=True):
    """An image's labels, environment variables, working directory, and the paths of its declared volumes."""

    id: str
    labels: Mapping[str, str]
    variables: Mapping[str, str]
    directory: str
    volumes: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        """Whether this program built it."""
        return self.labels.get(IMAGE) == KAFKA

    @property
    def path(self) -> str:
        """The PATH for commands: the image's or the engine's default, then the Java's own directory."""
        directories = self.variables.get("PATH", images.DEFAULT_PATH).split(":")
        if home := self.variables.get("JAVA_HOME"):
            directories.append(f"{home}/bin")
        return ":".join(dict.fromkeys(directories))


class StoredImage(Struct, frozen=True):
    """An image in the engine's list under one name: size in bytes, Unix time of its creation.

    `version` is the Kafka version by the labels of the image or of its containers, else empty. `built` is whether
    provision built it, and then `base` is its base. `environments` have containers of it.
    """

    name: str
    version: str
    size_bytes: int
    created_s: int
    built: bool
    base: str
    environments: tuple[str, ...]


class Draft(Struct, frozen=True):
    """An image without a name: its id, and the ids of the builder's steps, the image's own last."""

    id: str
    steps: tuple[str, ...]


class ImageStore:
    """The images of the engine. Containers for inspection have no network and are removed."""

    def __init__(self) -> None:
        self._api = connect().api
        self._api.timeout = _STORE_TIMEOUT_S

    def find(self, name: str) -> Details | None:
        """The image of that name; None if there is none."""
        found = images.inspect(self._api, name)
        if found is None:
            return None
        config = found["Config"] or {}
        variables = dict(text.split("=", maxsplit=1) for text in config.get("Env") or () if "=" in text)
        return Details(
            id=found["Id"],
            labels=config.get("Labels") or {},
            variables=variables,
            directory=config.get("WorkingDir") or "/",
            volumes=tuple(config.get("Volumes") or ()),
        )

    def pull(self, name: str, tell: Listener) -> Details:
        """Pull a missing image.

        Raises:
            Unavailable: it cannot be pulled.
        """
        images.pull(self._api, name, tell)
        found = self.find(name)
        if found is None:
            raise Unavailable(f"the image {name} is gone again")
        return found

    # -- create -------------------------------------------------------------------------------------------------------

    def build(self, recipe: Recipe, tell: Listener) -> Draft:
        """Build an image without a name, with `Fetching` events for the bytes sent.

        When the user interrupts, a running build is finished first, so that everything it created is known and removed.

        Raises:
            ProvisionError: the build failed; nothing of it is left.
        """
        what = f"the image of Kafka {recipe.version}"
        with tempfile.TemporaryFile() as context, translated(f"building {what}", _STORE_TIMEOUT_S):
            recipe.write_context(context)
            size = context.tell()
            context.seek(0)
            answers = self._api.build(
                fileobj=cast(IO[bytes], _sent(context, what, size, tell)), custom_context=True, network_mode="none",
                labels=dict(recipe.labels), rm=True, forcerm=True, decode=True,
            )  # fmt: skip
            with shielded() as interrupted:
                draft, failure = _followed(answers, recipe.base_id)
        if interrupted.is_set() or failure:
            self.discard(draft)
        end_if(interrupted)
        if failure:
            raise ProvisionError(f"{what} could not be built", why=failure)
        return draft

    def tag(self, identity: str, name: str) -> None:
        """Tag an image with a name, taking it from another image if necessary."""
        images.tag(self._api, identity, name)

    def discard(self, draft: Draft) -> None:
        """Remove what the builder created, except for named images and their layers."""
        with translated("removing what was built", _STORE_TIMEOUT_S):
            for identity in reversed(draft.steps):
                with suppress(NotFound):
                    self._discard(identity)

    def _discard(self, identity: str) -> None:
        if self._api.inspect_image(identity)["RepoTags"]:
            return
        try:
            self._api.remove_image(identity, noprune=True)  # pruning would remove a base without a name
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise

    def load(self, archive: BinaryIO, name: str, size: int, tell: Listener) -> tuple[str, ...]:
        """Load an archive that `docker save` wrote, `size` bytes long (0: unknown); returns its images' names or ids.

        Raises:
            ProvisionError: it is not such an archive.
        """
        loaded = []
        with translated(f"loading {name}", _STORE_TIMEOUT_S):
            for step in self._api.load_image(_sent(archive, name, size, tell)):
                if "error" in step:
                    raise ProvisionError(
                        f"{name} is not an archive of images, or is incomplete",
                        why=f"the Docker engine says: {step['error']}",
                        hint="`docker save -o FILE IMAGE` writes one",
                    )
                if brought := _LOADED.match(step.get("stream", "")):
                    loaded.append(brought[1])
        return tuple(loaded)

    # -- inspect ------------------------------------------------------------------------------------------------------

    def run(self, image: Details, command: Sequence[str], path: str) -> tuple[int, str] | None:
        """Run a command in an image as Kafka's account: exit code and output; None if there is no such command."""
        host = hardening(memory_bytes=_RUN_MEMORY_BYTES, image_volumes=image.volumes) | {"network_mode": "none"}
        options = {"entrypoint": list(command), "environment": {"PATH": path}}
        with translated(f"running {command[0]} in {image.id[:_SHORT_ID]}", _STORE_TIMEOUT_S):
            container = self._create(image.id, options, host)
            try:
                self._api.start(container)
                with translated(f"running {command[0]}", _RUN_TIMEOUT_S):
                    code = self._api.wait(container, timeout=_RUN_TIMEOUT_S)["StatusCode"]
                return code, self._api.logs(container).decode(errors="replace")
            except APIError as error:
                if _NOTHING_TO_RUN.search(str(error.explanation)):
                    return None
                raise
            finally:
                self._api.remove_container(container, force=True, v=True)

    def files_in(self, name: str, directory: str) -> tuple[str, ...] | None:
        """The names of files in a directory of an image, without starting it; None if there is no such directory."""
        with translated(f"looking into {name}", _STORE_TIMEOUT_S):
            container = self._create(name, {"entrypoint": ["none"]}, {"network_mode": "none"})
            try:
                stream, _ = self._api.get_archive(container, directory)
                with tempfile.TemporaryFile() as archive:
                    archive.writelines(stream)
                    archive.seek(0)
                    with tarfile.open(fileobj=archive) as tar:
                        return tuple(PurePosixPath(member.name).name for member in tar if not member.isdir())
            except NotFound:
                return None
            finally:
                self._api.remove_container(container, force=True, v=True)

    def _create(self, image: str, options: Mapping[str, Any], host: Mapping[str, Any]) -> str:
        account = f"{APACHE_KAFKA.user}:{APACHE_KAFKA.user}"
        config = self._api.create_host_config(**host)
        created = self._api.create_container(
            image=image,
            command=[],
            user=account,
            labels={ROLE: TOOL_ROLE, **process_label()},
            host_config=config,
            **options,
        )
        return str(created["Id"])

    def listed(self) -> tuple[StoredImage, ...]:
        """Every image, once for each of its names."""
        with translated("listing images", _STORE_TIMEOUT_S):
            found = self._api.images()
            containers = self._api.containers(all=True, filters={"label": [ENVIRONMENT, SOFTWARE]})
        return tuple(_stored(image, name, containers) for image in found for name in _names(image))


def is_name(text: str) -> bool:
    """Whether it is a valid image name: `repository` or `repository:tag`."""
    return bool(match_tag(text)) and "@" not in text


def _followed(answers: Iterable[Mapping[str, Any]], base_id: str) -> tuple[Draft, str]:
    """What the builder created on top of the base, and why it failed, if it did."""
    identity, steps, failure = "", [], ""
    for answer in answers:
        failure = failure or str(answer.get("error", ""))
        identity = (answer.get("aux") or {}).get("ID", identity)
        if made := _STEP.match(answer.get("stream", "")):
            steps.append(made[1])
    if not identity:
        failure = failure or "the Docker engine names no image at the end"
    return Draft(identity, tuple(step for step in steps if step not in base_id)), failure


def _stored(image: Mapping[str, Any], name: str, containers: Sequence[Mapping[str, Any]]) -> StoredImage:
    labels = image["Labels"] or {}
    users = [container["Labels"] for container in containers if container["ImageID"] == image["Id"]]
    versions = [labels.get(VERSION), *(user.get(VERSION) for user in users)]
    return StoredImage(
        name=name,
        version=next((text for text in versions if text and version_of(text)), ""),
        size_bytes=image["Size"],
        created_s=image["Created"],
        built=labels.get(IMAGE) == KAFKA,
        base=labels.get(BASE, ""),
        environments=tuple(sorted({user[ENVIRONMENT] for user in users})),
    )


def _names(image: Mapping[str, Any]) -> tuple[str, ...]:
    """Its tags; else its digests, else the first digits of its id."""
    for names in (image["RepoTags"], image["RepoDigests"]):
        if known := tuple(name for name in names or () if not name.startswith("<none>")):
            return known
    return (image["Id"][:_SHORT_ID],)


def _sent(stream: IO[bytes] | BinaryIO, what: str, size: int, tell: Listener) -> Iterator[bytes]:
    """The stream in chunks, with an event for each one sent."""
    done = 0
    while piece := stream.read(_CHUNK):
        yield piece
        done += len(piece)
        tell(Fetching(what, done, size))
