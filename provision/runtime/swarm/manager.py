"""A manager of a swarm, as `docker` uses it: what is found there of nodes, and of the engines that they are on."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from provision.errors import NodeGone, ProvisionError, Unavailable
from provision.runtime.docker import containers as spec
from provision.runtime.docker import images
from provision.runtime.docker.client import connect, swarm_of, translated
from provision.runtime.swarm import services
from provision.runtime.swarm.calls import labelled
from provision.runtime.swarm.engines import READY, Engine, engines_in
from provision.runtime.swarm.notes import ConfigVolumes
from provision.runtime.swarm.reach import Reach
from provision.runtime.swarm.records import Record, Records
from provision.runtime.swarm.seen import Seen
from provision.runtime.swarm.services import Image


class Manager:
    """The connection to it. `notes` stand for volumes with notes, as one engine has them; `records` are nodes'.

    Raises:
        Unavailable: the engine is no manager.
    """

    def __init__(self) -> None:
        self._client = connect()
        self.api: Any = self._client.api
        with translated("asking the engine for its swarm"):
            told = swarm_of(self.api)
        if not told.get("ControlAvailable"):
            self._client.close()
            state = str(told.get("LocalNodeState") or "inactive")
            why = "it is a worker of a swarm" if state == "active" else f"its swarm is {state}"
            hint = "let DOCKER_HOST or the Docker context name a manager; `docker swarm init` makes one"
            raise Unavailable("the Docker engine is no manager of a swarm", why=why, hint=hint)
        self._swarm = str((told.get("Cluster") or {}).get("ID") or "")
        self._reach = Reach(self.api, str(told.get("NodeID", "")))
        self.records = Records(self.api)
        self.notes: Any = ConfigVolumes(self.api)

    def close(self) -> None:
        """Close the connections to engines."""
        self._reach.close()
        self._client.close()

    @property
    def swarm(self) -> str:
        """The id of its swarm, which is the same whichever manager is asked."""
        if not self._swarm:
            with translated("asking for the swarm"):
                self._swarm = str(self.api.inspect_swarm()["ID"])
        return self._swarm

    # -- engines ------------------------------------------------------------------------------------------------------

    def engine(self, identity: str) -> Engine:
        """The engine with that id; one that is down if the swarm knows it no more."""
        with translated("looking at engines"):
            found = {engine.id: engine for engine in engines_in(self.api.nodes())}
        return found.get(identity) or Engine(identity, identity, "", state="gone")

    def require_up(self, record: Record) -> None:
        """The engine of a node has to run it.

        Raises:
            Unavailable: it does not.
        """
        if trouble := self.engine(record.engine).trouble:
            raise Unavailable(
                f"{record.node} waits for its engine", why=trouble, hint="`docker node ls` shows its state"
            )

    def api_of(self, record: Record) -> Any:  # noqa: ANN401 the SDK's client has no types
        """The API of a node's engine; None if that is not reached."""
        return self._reach.api_of(record.engine, record.reached)

    def paused(self, name: str, seen: Seen) -> frozenset[str]:
        """The nodes whose engines, as far as they are reached, tell that they are paused: no manager knows it."""
        ready = {
            one.engine: one
            for one in seen.records(name)
            if one.engine in seen.engines and seen.engines[one.engine].state == READY
        }
        found: set[str] = set()
        for record in ready.values():
            api = self.api_of(record)
            wanted = {"label": [f"{services.OWNER}={name}", spec.NODE], "status": ["paused"]}
            with suppress(ProvisionError), translated(f"looking at {name}"):  # one that has just gone tells nothing
                found |= {one["Labels"][spec.NODE] for one in (api.containers(filters=wanted) if api else ())}
        return frozenset(found)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def service(self, name: str, node: str) -> Mapping[str, Any] | None:
        """The service of a node; None if there is none."""
        wanted = labelled(f"{spec.ENVIRONMENT}={name}", f"{spec.NODE}={node}")
        with translated(f"looking for {node}"):
            return next(iter(self.api.services(filters=wanted)), None)

    def required(self, name: str, node: str) -> Mapping[str, Any]:
        """The service of a node.

        Raises:
            NodeGone: there is none.
        """
        service = self.service(name, node)
        if service is None:
            raise NodeGone(name, node)
        return service

    def record(self, name: str, node: str) -> Record:
        """The record of a node.

        Raises:
            ProvisionError: there is none.
        """
        record = self.records.of(name, node)
        if record is None:
            raise ProvisionError(f"nothing tells on which engine the volume of {node} is", hint="`provision up` again")
        return record

    def image(self, software: str) -> Image:
        """An image as every engine knows it: by its digest, else by its id, for which no registry is asked.

        Raises:
            Unavailable: the manager does not have it.
        """
        details = images.inspect(self.api, software)
        if details is None:
            raise Unavailable(f"the image {software} is not there", hint=f"`docker pull {software}`")
        identity = images.identity_of(software, details)
        volumes = tuple(details["Config"].get("Volumes") or ())
        return Image(identity.digest or identity.checksum, identity.checksum, volumes)
