"""Images of Kafka for a machine without a registry: built from a base with a Java, listed, and loaded from an archive.

Labels mark an image as built by provision and record what it was built from, so that the same version, base and jars
are not built again.
"""

import posixpath
import re
import time
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

from provision.catalogue.images import BUILT, Reference, is_known, kafka_line_of, layout_of
from provision.catalogue.versions import OLDEST, KafkaVersion, release_of
from provision.errors import ProvisionError, Refused, Unavailable, UsageError
from provision.events import Listener, action
from provision.home.place import Home
from provision.runtime import jars
from provision.runtime.base import JavaCommand, java_version_in
from provision.runtime.docker.image_recipe import Recipe
from provision.runtime.docker.image_store import Details, ImageStore, StoredImage, is_name
from provision.runtime.docker.tools import java_command

_BROKER_JAR = re.compile(r"kafka_2\.\d+-(.+)\.jar")
_ENSEMBLE_JAR = re.compile(r"zookeeper-\d.*\.jar")
_VERSION_HEAP = "64m"
_SHOWN_OUTPUT = 1000


# -- build ------------------------------------------------------------------------------------------------------------


class Built(Struct, frozen=True):
    """The result of `build`: the image's name and Kafka version, its base, and whether it is new."""

    name: str
    version: KafkaVersion
    base: str
    changed: bool

    def as_dict(self) -> dict[str, Any]:
        """As `image build -o json` shows it."""
        return {"name": self.name, "version": str(self.version), "base": self.base, "changed": self.changed}


def build(version: KafkaVersion, base: str, name: str | None, home: Home, tell: Listener) -> Built:
    """Build an image from `base` with the jars of that version, called `name` (default: `provision/kafka:VERSION`).

    It is tagged only once its Java has run and its jars have reported their version.

    Raises:
        UsageError: the name is not valid.
        Refused: an image that provision did not build has that name.
        Unavailable: there is no engine, no such base, no suitable Java in it, or the jars cannot be fetched.
    """
    name = _full(name or f"{BUILT.repository}:{version}")
    if not base.strip():
        raise UsageError("--base names no image", hint="name one with a Java, e.g. eclipse-temurin:17-jre")
    store = ImageStore()
    there = store.find(name)
    if there and not there.is_ours:
        raise Refused(f"{name} is an image that provision did not build", hint="choose another --tag, or remove it")
    found = store.find(base) or _pulled(store, base, tell)
    _require_java(store, base, found, version)
    directory = jars.fetch(version, home.jars(version), tell)
    recipe = Recipe(
        version, base, found.id, found.path, tuple(sorted(directory.glob("*.jar"))), jars.fingerprint(directory)
    )
    if there and recipe.made(there.labels):
        return Built(name, version, base, changed=False)
    _make(store, recipe, name, tell)
    return Built(name, version, base, changed=True)


def _full(name: str) -> str:
    if not is_name(name):
        raise UsageError(f"{name!r} cannot be an image's name", hint="one looks like my/kafka:3.9.1, in lower case")
    if (layout := layout_of(name)).libs != BUILT.libs:
        message = f"{name!r} is a name of images that are laid out like {layout.repository}, and this one is not"
        raise UsageError(message, hint="choose another --tag")
    reference = Reference.parse(name)
    return f"{reference.repository}:{reference.tag or 'latest'}"


def _pulled(store: ImageStore, base: str, tell: Listener) -> Details:
    with action(tell, "fetch", base):
        return store.pull(base, tell)


def _require_java(store: ImageStore, base: str, found: Details, kafka: KafkaVersion) -> None:
    """Run the base's Java the way the nodes will."""
    fitting = release_of(kafka).java
    hint = f"Kafka {kafka} needs Java {fitting[0]} to {fitting[-1]}: name a base with one, e.g. eclipse-temurin:17-jre"
    shown = store.run(found, ("java", "-version"), found.path)
    if shown is None:
        home = found.variables.get("JAVA_HOME", "not set")
        why = f"there is no command `java` that can be run in {found.path} (JAVA_HOME: {home})"
        raise Unavailable(f"the image {base} has no Java", why=why, hint=hint)
    code, output = shown
    java = java_version_in(output)
    if code or not java:
        why = f"`java -version` exits with {code}: {output.strip()[-_SHOWN_OUTPUT:]}"
        raise Unavailable(f"the Java of the image {base} does not run", why=why, hint=hint)
    if java not in fitting:
        raise Unavailable(f"Kafka {kafka} does not run on the Java {java} of the image {base}", hint=hint)


def _make(store: ImageStore, recipe: Recipe, name: str, tell: Listener) -> None:
    with action(tell, "build", name):
        draft = store.build(recipe, tell)
        try:
            _require_kafka(store, draft.id, recipe, name)
            store.tag(draft.id, name)
        except BaseException:
            store.discard(draft)
            raise


def _require_kafka(store: ImageStore, identity: str, recipe: Recipe, name: str) -> None:
    """Have Kafka report its version, with the command line of a tool in an image of that name."""
    made = store.find(identity)
    command = java_command(name, JavaCommand("kafka.Kafka", ("--version",)), _VERSION_HEAP)
    code, output = (made and store.run(made, command, made.path)) or (None, "there is no Java in it")
    if code or str(recipe.version) not in output:
        raise ProvisionError(f"{name} was built, but its Kafka does not run", why=output.strip()[-_SHOWN_OUTPUT:])


# -- list -------------------------------------------------------------------------------------------------------------


def usable_images() -> tuple[StoredImage, ...]:
    """The images of Kafka on the engine, by name.

    These are images that provision built, images of known repositories, and images that environments use.
    """
    found = ImageStore().listed()
    ours = (image for image in found if image.built or image.environments or is_known(image.name))
    return tuple(sorted(ours, key=lambda image: image.name))


def version_of(image: StoredImage) -> str:
    """Its Kafka version: by label, else by its tag; empty if neither gives it."""
    return image.version or _version_in_tag(image.name)


def as_dict(image: StoredImage) -> dict[str, Any]:
    """As `image list -o json` shows it."""
    return {
        "name": image.name,
        "version": version_of(image) or None,
        "size_bytes": image.size_bytes,
        "age_s": int(time.time() - image.created_s),
        "built": image.built,
        "base": image.base or None,
        "environments": list(image.environments),
    }


def _version_in_tag(name: str) -> str:
    """The version, or only its release line; for unknown repositories, any tag that is a version."""
    if line := kafka_line_of(name):
        return line
    try:
        return str(KafkaVersion.parse(Reference.parse(name).tag))
    except ValueError:
        return ""


# -- load -------------------------------------------------------------------------------------------------------------


class Loaded(Struct, frozen=True):
    """A loaded image: its name, its Kafka version if one is found, and why it cannot be used."""

    name: str
    version: str
    lacks: str

    def as_dict(self) -> dict[str, Any]:
        """As `image load -o json` shows it."""
        return {
            "name": self.name,
            "version": self.version or None,
            "usable": not self.lacks,
            "lacks": self.lacks or None,
        }


def load(archive: BinaryIO, called: str, tell: Listener) -> tuple[Loaded, ...]:
    """Load an archive of images, as `docker save` writes it, and inspect each.

    Raises:
        ProvisionError: it is not such an archive.
        Unavailable: there is no engine.
    """
    store = ImageStore()
    with action(tell, "load", called):
        names = store.load(archive, called, _size(archive), tell)
    return tuple(_inspected(store, name) for name in names)


def _size(archive: BinaryIO) -> int:
    """The archive's size in bytes; 0 for a pipe."""
    name = getattr(archive, "name", None)
    return Path(name).stat().st_size if isinstance(name, str) and Path(name).is_file() else 0


def _inspected(store: ImageStore, name: str) -> Loaded:
    layout, found = layout_of(name), store.find(name)
    libs = posixpath.join(found.directory if found else "/", layout.libs[0])
    files = store.files_in(name, libs)
    if files is None:
        return Loaded(name, "", f"there is no {libs} in it")
    if not layout.has_kafka:
        has_ensemble = any(map(_ENSEMBLE_JAR.fullmatch, files))
        return Loaded(name, "", "" if has_ensemble else f"there are no jars of ZooKeeper in its {libs}")
    brokers = [match[1] for file in files if (match := _BROKER_JAR.fullmatch(file))]
    if not brokers:
        return Loaded(name, "", f"there are no jars of Kafka in its {libs}")
    try:
        version = KafkaVersion.parse(min(brokers, key=len))
    except ValueError:  # other vendors' versions have other forms
        return Loaded(name, _version_in_tag(name), "")
    return Loaded(name, str(version), f"{OLDEST} is the oldest that is supported" if version < OLDEST else "")
