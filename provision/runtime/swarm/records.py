"""What the swarm itself keeps of a node: where its volume is, and which files it runs with.

A node's volume is on one engine, which may be away, and nobody else lists it. So it has a record: a config whose labels
say what is in the volume, on which engine, and the node's files. These are configs and secrets, named by their content.
"""

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from docker.errors import APIError, NotFound
from docker.types import ConfigReference, SecretReference
from msgspec import Struct, to_builtins

from provision.cluster.model import RenderedFile
from provision.runtime.base import SECRET_MODE
from provision.runtime.docker import containers as spec
from provision.runtime.swarm.calls import labelled, updated
from provision.runtime.swarm.layout import CONFIG_DIR

RECORD = "provision.record"
"""The label of a record, whose value is the volume's name."""
ENGINE, ENGINE_NAME, REACHED = "provision.engine", "provision.engine-name", "provision.engine-address"
FILES = "provision.files"
BEGUN, PREPARED = "provision.begun", "provision.prepared"
"""The labels of a record whose volume may be there, and of one whose volume is ready for its node."""
GIVEN_UP, LEFT = "provision.given-up", "provision.left"
"""The labels of a record whose engine is gone for good, and of a note of a volume that a node has left behind."""
IMAGE_ID = "provision.image-id"
_FILE, _DIGEST = "provision.file", "provision.digest"
_NOTHING = b"-"  # neither a config nor a secret is ever empty
_PLAIN_MODE = 0o444
_CONFIGS, _SECRETS = "configs", "secrets"


class FileRef(Struct, frozen=True):
    """A file of a node: the config or secret that has its content, by name and id, and the content's SHA-256."""

    name: str
    object: str
    id: str
    digest: str
    secret: bool = False


class Record(Struct, frozen=True):
    """A record as the swarm has it; `reached` is where its engine's API answers, if the user's file told it."""

    id: str
    volume: str
    node: str
    engine: str
    engine_name: str
    reached: str
    begun: bool
    prepared: bool
    given_up: bool
    files: tuple[FileRef, ...]
    labels: Mapping[str, str]

    def is_at(self, other: "Record") -> bool:
        """Whether it is about the same volume of the same engine."""
        return (self.volume, self.engine) == (other.volume, other.engine)

    def references(self, account: str) -> tuple[list[ConfigReference], list[SecretReference]]:
        """What puts its files in place, for the account `uid:gid`."""
        uid, _, gid = account.partition(":")
        owner = {"uid": uid, "gid": gid}
        plain = [
            ConfigReference(file.id, file.object, f"{CONFIG_DIR}/{file.name}", mode=_PLAIN_MODE, **owner)
            for file in self.files
            if not file.secret
        ]
        hidden = [
            SecretReference(file.id, file.object, f"{CONFIG_DIR}/{file.name}", mode=SECRET_MODE, **owner)
            for file in self.files
            if file.secret
        ]
        return plain, hidden


def record_in(config: Mapping[str, Any]) -> Record | None:
    """The record that a config is; None if it is none."""
    labels = config["Spec"].get("Labels") or {}
    return _described(config["ID"], labels, RECORD) if RECORD in labels and spec.NODE in labels else None


def _described(identity: str, labels: Mapping[str, str], volume: str) -> Record:
    return Record(
        id=identity,
        volume=labels[volume],
        node=labels[spec.NODE],
        engine=labels.get(ENGINE, ""),
        engine_name=labels.get(ENGINE_NAME, ""),
        reached=labels.get(REACHED, ""),
        begun=BEGUN in labels,
        prepared=PREPARED in labels,
        given_up=GIVEN_UP in labels,
        files=_files_in(labels.get(FILES, "")),
        labels=labels,
    )


def _files_in(text: str) -> tuple[FileRef, ...]:
    """The files that a label names, which anybody may have written."""
    with suppress(ValueError, TypeError):
        return tuple(FileRef(**one) for one in json.loads(text or "[]"))
    return ()


class Records:
    """The records of a swarm, and the files that they name."""

    def __init__(self, api: Any) -> None:  # noqa: ANN401 the SDK's client has no types
        self._api = api

    def all_of(self, environment: str, node: str = "") -> tuple[Record, ...]:
        """Those of an environment, or only that of one of its nodes."""
        labels = [RECORD, f"{spec.ENVIRONMENT}={environment}", *([f"{spec.NODE}={node}"] if node else [])]
        return tuple(filter(None, map(record_in, self._api.configs(filters=labelled(*labels)))))

    def of(self, environment: str, node: str) -> Record | None:
        """That of a node."""
        return next(iter(self.all_of(environment, node)), None)

    def create(self, environment: str, node: str, labels: Mapping[str, str]) -> None:
        """Make one, unless it is there."""
        volume = spec.name_of(environment, node)
        try:
            self._api.create_config(f"{volume}.volume", _NOTHING, labels={**labels, RECORD: volume})
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise

    def leave(self, environment: str, record: Record) -> None:
        """Note that a volume stays on its engine, which is not reached."""
        name = (
            f"{record.volume[:40]}.left-{hashlib.sha256(f'{record.volume} {record.engine}'.encode()).hexdigest()[:16]}"
        )
        kept = {key: record.labels[key] for key in (spec.NODE, ENGINE, ENGINE_NAME, REACHED) if key in record.labels}
        try:
            self._api.create_config(
                name, _NOTHING, labels={**kept, spec.ENVIRONMENT: environment, LEFT: record.volume, BEGUN: "true"}
            )
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise

    def left_of(self, environment: str) -> tuple[Record, ...]:
        """Volumes that nodes have left behind, as if they were still theirs."""
        found = self._api.configs(filters=labelled(LEFT, f"{spec.ENVIRONMENT}={environment}"))
        return tuple(_described(one["ID"], one["Spec"]["Labels"], LEFT) for one in found)

    def mark(self, record: Record, labels: Mapping[str, str]) -> None:
        """Add labels to it, in place of those of the same names."""
        updated(self._api, _CONFIGS, record.id, lambda told: told["Labels"].update(labels))

    def put(self, record: Record, environment: str, files: Sequence[RenderedFile]) -> None:
        """Let the node's files be these; what it had before is removed, unless it runs with it."""
        refs = [self._stored(environment, record.node, file) for file in files]
        self.mark(record, {FILES: json.dumps([to_builtins(ref) for ref in refs])})
        self.sweep(environment, record.node, {ref.id for ref in refs})

    def put_for_job(self, environment: str, node: str, contents: Mapping[str, str | bytes]) -> list[FileRef]:
        """Files of a job beside those of a node, by name, which stay until the node is started."""
        files = {name: one.encode() if isinstance(one, str) else one for name, one in contents.items()}
        return [self._stored(environment, node, RenderedFile(node, name, content)) for name, content in files.items()]

    def _stored(self, environment: str, node: str, file: RenderedFile) -> FileRef:
        kind = _SECRETS if file.secret else _CONFIGS
        known = f"{environment} {node} {file.name} {file.identity}"
        name = f"{environment}-{hashlib.sha256(known.encode()).hexdigest()[:20]}"
        labels = {spec.ENVIRONMENT: environment, spec.NODE: node, _FILE: file.name, _DIGEST: file.identity}
        create = self._api.create_secret if file.secret else self._api.create_config
        try:
            identity = create(name, file.content or _NOTHING, labels=labels)["ID"]
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
            identity = next(one["ID"] for one in self._listed(kind, name) if one["Spec"]["Name"] == name)
        return FileRef(file.name, name, identity, file.identity, file.secret)

    def _listed(self, kind: str, name: str) -> list[Mapping[str, Any]]:
        list_them = self._api.secrets if kind == _SECRETS else self._api.configs
        return list(list_them(filters={"name": name}))

    def read(self, record: Record) -> tuple[RenderedFile, ...]:
        """The node's files; of secrets, which nobody can read back, only what identifies them."""
        found = []
        for file in record.files:
            if file.secret:
                found.append(RenderedFile(record.node, file.name, b"", secret=True, digest=file.digest))
                continue
            with suppress(NotFound):  # somebody has removed it
                content = b64decode(self._api.inspect_config(file.id)["Spec"].get("Data") or "")
                is_empty = file.digest == hashlib.sha256(b"").hexdigest()
                found.append(RenderedFile(record.node, file.name, b"" if is_empty else content))
        return tuple(found)

    def sweep(self, environment: str, node: str, keep: Iterable[str] = ()) -> None:
        """Remove the configs and secrets of a node's files, but for those with these ids, and those it runs with."""
        kept = set(keep)
        wanted = labelled(_FILE, f"{spec.ENVIRONMENT}={environment}", *([f"{spec.NODE}={node}"] if node else []))
        for listed, remove in (
            (self._api.configs(filters=wanted), self._api.remove_config),
            (self._api.secrets(filters=wanted), self._api.remove_secret),
        ):
            for thing in listed:
                if thing["ID"] not in kept:
                    _remove_unused(remove, thing["ID"])

    def remove(self, record: Record) -> None:
        """Remove a record."""
        with suppress(NotFound):
            self._api.remove_config(record.id)


def _remove_unused(remove: Any, identity: str) -> None:  # noqa: ANN401 one of the SDK's methods
    try:
        remove(identity)
    except NotFound:
        return
    except APIError as error:
        if "in use" not in str(error.explanation):
            raise
