"""The runtime interface for a Docker engine. Each verb is one or two calls; decisions are made elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound, NotFound

from provision.cluster.fingerprint import in_order, written_hash
from provision.cluster.identity import Identities
from provision.cluster.layout import NODE_HOME
from provision.cluster.model import Cluster, Node, RenderedFile, StorageKind
from provision.common.patience import Patience
from provision.errors import NodeGone, Unavailable
from provision.events import Listener, silent
from provision.home.holders import Holder
from provision.plan.about import About
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.plan.stored import StoredData
from provision.runtime import directories
from provision.runtime.base import Hold, JavaCommand, Remnant, Runtime, Streams, format_failed
from provision.runtime.docker import (
    abouts,
    ending,
    execution,
    formatting,
    found,
    health,
    images,
    locks,
    networks,
    notes,
    remnants,
    stored,
    tools,
    volumes,
)
from provision.runtime.docker import containers as spec
from provision.runtime.docker.archives import DockerArchives
from provision.runtime.docker.client import connect, engine_identity, still_used, swarm_of, translated
from provision.runtime.docker.images import inspect, volumes_of
from provision.runtime.docker.labels import checked
from provision.runtime.docker.layouts import is_there, require_layout
from provision.runtime.docker.logs import followed, log_of
from provision.runtime.health import Asker, Machine, Probe, Reached, Surroundings, Vitals
from provision.spec.names import is_environment_name

FEWEST_SHARES = 2  # others have 1024


class DockerRuntime(Runtime):
    """Nodes as containers of one engine, local or remote: files are uploaded, never mounted from this machine."""

    kind = "docker"

    def __init__(self) -> None:
        self._client = connect()
        self._api = self._client.api
        self._archives = DockerArchives(self._api)
        self._seen_layouts: set[str] = set()
        self._fresh: dict[str, tuple[RenderedFile, ...]] = {}  # by container: those in which nothing has run yet
        self._manages: bool | None = None

    def close(self) -> None:
        """Close the connections to the engine."""
        self._client.close()

    @property
    def archives(self) -> DockerArchives:
        """Those in volumes of the engine."""
        return self._archives

    def stand_back(self, processors: int) -> None:
        """Limit the containers: the engine starts them, and not this process."""
        self._archives.limits = {"cpu_shares": FEWEST_SHARES, "nano_cpus": processors * 10**9}

    # -- observe ------------------------------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """Its kind and the engine's id; its address if the engine, or a proxy before it, does not tell."""
        return f"{self.kind} {engine_identity(self._api)}"

    @property
    def manages_swarm(self) -> bool:
        """Ask the engine, once; a proxy before it may not tell."""
        if self._manages is None:
            with translated("asking the engine for its swarm"):
                try:
                    self._manages = bool(swarm_of(self._api).get("ControlAvailable"))
                except APIError:
                    self._manages = False
        return self._manages

    def environments(self) -> tuple[str, ...]:
        """List them by the labels of containers, networks and volumes, so that partial ones are found too."""
        with translated("listing environments"):
            volumes = self._api.volumes(filters={"label": spec.ENVIRONMENT})["Volumes"] or ()
            things = [
                *self._containers(spec.ENVIRONMENT),
                *self._api.networks(filters={"label": spec.ENVIRONMENT}),
                *(volume for volume in volumes if not notes.is_note(volume)),
            ]
        return tuple(sorted(filter(is_environment_name, {thing["Labels"][spec.ENVIRONMENT] for thing in things})))

    def observe(self, name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:
        """Observe with one list call each for containers, networks and volumes."""
        with translated(f"looking at {name}"):
            all_containers = self._containers()
            all_networks = list(map(checked, self._api.networks()))
            volumes = list(map(checked, self._api.volumes()["Volumes"] or ()))
        node_of = partial(self._observed, networks.among(all_networks, name))
        return found.environment(self.kind, name, wanted, found.Things(all_containers, all_networks, volumes), node_of)

    def _observed(self, network: Mapping[str, Any] | None, container: Mapping[str, Any]) -> ObservedNode:
        labels, state = container["Labels"], spec.STATES.get(container["State"])
        exit_code, out_of_memory = None, False
        if state in (NodeState.EXITED, NodeState.RESTARTING, None):
            try:  # the list has no exit codes
                details = self._api.inspect_container(container["Id"])["State"]
                exit_code, out_of_memory = details["ExitCode"], details["OOMKilled"]
                # A state that only a later engine has.
                state = state or (NodeState.RUNNING if details["Running"] else NodeState.EXITED)
            except NotFound:  # removed since the list was made
                state = NodeState.EXITED
        place = networks.place_of(container, network)
        return found.node_in(
            labels,
            state,
            exit_code=exit_code,
            out_of_memory=out_of_memory,
            software_id=container["ImageID"],
            astray=place.astray,
            cut_off=place.cut_off,
            up_s=spec.up_s(container),
        )

    def abouts(self) -> Mapping[str, About]:
        """Read them from notes in the engine."""
        return abouts.known(self._api)

    def sizes(self) -> Mapping[str, int]:
        """Have the engine add up the volumes."""
        return remnants.sizes(self._api)

    def remnants(self) -> tuple[Remnant, ...]:
        """Containers of tools, and locks."""
        return remnants.found(self._api)

    def halted(self, name: str, nodes: Sequence[str]) -> frozenset[str]:
        """Read it from the engine's list of their processes: of a container's state it is no part."""
        with translated(f"looking at {name}"):
            ours = [one for one in self._containers(f"{spec.ENVIRONMENT}={name}") if found.is_node(one)]
            ids = {one["Labels"][spec.NODE]: one["Id"] for one in ours}
            return ending.halted(self._api, {node: ids[node] for node in nodes if node in ids})

    def read_files(self, name: str, node: str) -> tuple[RenderedFile, ...]:
        """Read them from the node's volume through its container, running or not; none if the directory is gone."""
        with translated(f"reading the configuration of {node}"):
            try:
                with self._node(name, node) as own, stored.safe(self._api, own, name, node) as container:
                    return stored.files_of(self._api, container, node)
            except APIError as error:
                stored.require_directory(error, name, node)
                raise

    def read_storage(self, name: str, node: str) -> StoredData | None:
        """Read it from the node's volume, through a temporary container if the node has none."""
        container = self._ours(name, node)
        with translated(f"reading the storage of {node}"):
            return stored.read(self._api, container["Id"] if container else "", name, node)

    def log_lines(self, name: str, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """Read them from the engine's log of the container, standard output and standard error together."""
        with translated(f"reading the log of {node}"):
            if follow:
                yield from self._followed(name, node, tail)
            else:
                with self._node(name, node) as container:
                    yield from log_of(self._api, container, tail, follow=False)

    def _followed(self, name: str, node: str, tail: int | None) -> Iterator[str]:
        def find() -> str | None:
            container = self._ours(name, node)
            return str(container["Id"]) if container else None

        def is_changing() -> bool:
            return self.holder(name) is not None

        container = find()
        if container is None and not is_changing():
            raise NodeGone(name, node)
        yield from followed(self._api, container, tail, find, is_changing)

    def hold(self, name: str, holder: Holder, force: Patience | None = None, tell: Listener = silent) -> Hold:
        """Claim it in the engine, which other homes and machines may use too."""
        return locks.hold(self._api, name, holder, force, tell)

    def holder(self, name: str) -> Holder | None:
        """The command that has claimed it, of whichever home or machine."""
        return locks.held_by(self._api, name)

    def killed_holder(self, name: str) -> Holder | None:
        """The command whose lock is left, of whichever home or machine."""
        return locks.left_by(self._api, name)

    # -- examine ------------------------------------------------------------------------------------------------------

    def machine(self) -> Machine:
        """Ask the engine about itself and its machine."""
        with translated("asking the engine"):
            return health.machine(self._api)

    def surroundings(self, name: str) -> Surroundings:
        """Look for others in its network, at the images of its nodes, and at the files of its volumes."""
        with translated(f"looking around {name}"):
            return health.surroundings(self._api, name, self._containers())

    def vitals(self, name: str, node: str) -> Vitals:
        """Inspect its container, and look into it with `exec` while it runs."""
        with translated(f"examining {node}"), self._node(name, node) as container:
            return health.of_node(self._api, container)

    def ask(self, environment: ObservedEnvironment, asker: Asker, probes: Sequence[Probe]) -> Reached | None:
        """Ask in a separate container, in the environment's network or in the engine's default one."""
        network = environment.name if asker is Asker.NETWORK else health.DEFAULT_NETWORK
        with translated(f"asking from {asker}"):
            return health.ask(self._api, environment.name, environment.software, network, probes)

    # -- prepare ------------------------------------------------------------------------------------------------------

    def missing_software(self, cluster: Cluster) -> tuple[str, ...]:
        """The images that the engine does not have."""
        return images.missing(self._api, cluster)

    def _require_layout(self, container: str, image: str) -> None:
        """Check the layout in the first container of each image."""
        if image not in self._seen_layouts:
            require_layout(self._api, container, image, (inspect(self._api, image) or {}).get("Config", {}))
            self._seen_layouts.add(image)

    def _image_volumes(self, name: str) -> tuple[str, ...]:
        return volumes_of(self._api, name)

    def fetch_software(self, cluster: Cluster, software: str, tell: Listener, digest: str = "") -> None:
        """Pull the image; with a digest, only if that is missing, and tag it then."""
        images.fetch(self._api, cluster, software, tell, digest)

    def identify_software(self, cluster: Cluster) -> Identities:
        """The identities of the images on the engine."""
        return images.identities(self._api, cluster)

    def write_about(self, name: str, about: About) -> None:
        """Write it as a note in the engine."""
        abouts.write(self._api, name, about)

    def create_network(self, cluster: Cluster) -> None:
        """Create a bridge network named like the environment; containers find each other there by name."""
        with translated(f"creating the network {cluster.name}"):
            if networks.find(self._api, cluster.name) is None:
                former = networks.former_subnet(self._containers(f"{spec.ENVIRONMENT}={cluster.name}"))
                networks.create(self._api, cluster.name, spec.environment_labels(cluster), former)

    def create_storage(self, cluster: Cluster, node: Node) -> None:
        """Create a volume, and the user's directory if the file names one."""
        with translated(f"creating the volume {spec.name_of(cluster.name, node.name)}"):
            volumes.create(self._api, cluster, node)
        if cluster.storage.kind is StorageKind.DIRECTORY:
            stored.create_directory(self._api, cluster, node)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def create_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile]) -> None:
        """Create the container and fill its volume."""
        with translated(f"creating {node.name}"):
            if self._ours(cluster.name, node.name) is not None:
                return
            self._remove_drafts(cluster.name, node.name)
            volumes.create(self._api, cluster, node)  # else the engine would take whatever has its name
            container, host = spec.node_options(cluster, node, written_hash(files), self._image_volumes(node.software))
            try:
                # Renamed once its files are in place: a partial container, left by a killed command, is not a node.
                labels = container["labels"] | networks.subnet_label(self._api, cluster.name)
                draft = container | {"name": f"{container['name']}{spec.DRAFT}", "labels": labels}
                membership = networks.membership(self._api, cluster.name, node.name)

                def create(container: dict[str, Any], host: dict[str, Any]) -> str:
                    host_config = self._api.create_host_config(**host, **self._archives.limits)
                    joined = {**container, "host_config": host_config, "networking_config": membership}
                    return str(self._api.create_container(**joined)["Id"])

                created = self._archives.created(cluster, node, draft, host, create)
                self._require_layout(created, node.software)
            except ImageNotFound as error:
                raise Unavailable(f"the image {node.software} is gone") from error
            in_volume = cluster.storage.kind is StorageKind.VOLUME or (
                cluster.storage.kind is StorageKind.MEMORY and not spec.on_tmpfs(cluster, node)
            )
            is_fresh = in_volume and not is_there(self._api, created, stored.DATA)
            self._api.put_archive(created, NODE_HOME, spec.archive(cluster, node, files, with_data=in_volume))
            self._api.rename(created, container["name"])
            if is_fresh:
                self._fresh[created] = tuple(files)
        if cluster.storage.kind is StorageKind.DIRECTORY:
            directories.keep_files(Path(cluster.storage.directory), node.name, files)

    def format_storage(self, name: str, node: str, cluster_id: str) -> None:
        """Upload the two files that the release's own tool would write; where it might write others, run that."""
        with translated(f"formatting the storage of {node}"):
            details = self._api.inspect_container(self._required(name, node))
            fresh = self._fresh.pop(details["Id"], ())
            if formatting.upload_formatted(self._api, details, node, cluster_id, fresh):
                return
            volumes = self._image_volumes(details["Config"]["Image"])
            code, output = formatting.run_format(self._api, details, node, cluster_id, volumes)
        if code:
            raise format_failed(node, output)

    def update_files(self, name: str, node: str, files: Sequence[RenderedFile]) -> None:
        """Write them to the node's volume through its running container."""
        with translated(f"writing the configuration of {node}"):
            container = self._required(name, node)
            account = str(self._api.inspect_container(container)["Config"]["User"])
            self._api.put_archive(container, NODE_HOME, spec.archive_of_files(in_order(files), account))

    def start_node(self, name: str, node: str) -> None:
        """Start the container, for which the engine now reserves its host port, or let it go on."""
        container = self._required(name, node)
        self._require_no_links(name, node)
        with translated(f"starting {node}"):
            if self._api.inspect_container(container)["State"]["Paused"]:
                self._api.unpause(container)
                return
            networks.rejoin(self._api, container, name, node)
            self._fresh.pop(container, None)
            self._api.start(container)
            ending.let_go_on(self._api, container)

    def _require_no_links(self, name: str, node: str) -> None:
        """The engine, which may do all that root may, would follow them when it mounts the user's directory."""
        container = self._ours(name, node)
        storage = container["Labels"].get(spec.STORAGE, "") if container else ""
        if Path(storage).is_absolute():
            directories.require_no_links(Path(storage), node)

    def join_network(self, name: str, node: str) -> None:
        """Connect the running container, whose ports the engine publishes again."""
        container = self._required(name, node)
        with translated(f"connecting {node} to the network {name}"):
            networks.rejoin(self._api, container, name, node)

    def stop_node(self, name: str, node: str, patience_s: float) -> None:
        """Stop the container, paused or not."""
        if container := self._ours(name, node):
            ending.stop(self._api, container["Id"], node, patience_s)

    def pause_node(self, name: str, node: str) -> None:
        """Pause the container."""
        container = self._required(name, node)
        with translated(f"pausing {node}"):
            if not self._api.inspect_container(container)["State"]["Paused"]:
                self._api.pause(container)

    def kill_node(self, name: str, node: str) -> None:
        """Kill the container."""
        if container := self._ours(name, node):
            ending.kill(self._api, container["Id"], node)

    # -- remove -------------------------------------------------------------------------------------------------------

    def remove_node(self, name: str, node: str) -> None:
        """Remove the container by force."""
        if container := self._ours(name, node):
            ending.remove(self._api, container["Id"], node)

    def remove_storage(self, name: str, node: str, *, delete_data: bool) -> None:
        """Remove the volume, and with `delete_data` before it the directory with provision's marker."""

        def delete(volume: Mapping[str, Any]) -> None:
            storage = Path(checked(volume)["Labels"].get(spec.STORAGE, ""))
            if storage.is_absolute():
                directories.delete(storage, node, name, data=delete_data)

        with translated(f"removing the volume {spec.name_of(name, node)}"):
            self._remove_drafts(name, node)
            volumes.remove(self._api, name, node, first=delete)

    def remove_network(self, name: str) -> None:
        """Remove tools and locks left by a killed command, then the network."""
        locks.sweep(self._api, name)
        with translated(f"removing the network {name}"):
            for container in self._containers(f"{spec.ENVIRONMENT}={name}"):
                if not found.is_node(container):
                    ending.remove(self._api, container["Id"], "a tool or a draft")
            stored.remove_strays(self._api, name)
            try:
                networks.remove(self._api, name)
            except APIError as error:
                if not (names := networks.members(self._api, name)):
                    raise
                raise still_used(f"the network {name}", names, name, f"docker network disconnect {name}") from error
        abouts.remove_without_storages(self._api, name)

    # -- run ----------------------------------------------------------------------------------------------------------

    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        """Run it with `exec` in the node's container, within its limits and with the Java and jars of its own image."""
        with translated(f"running {command.main_class} in {node}"), self._node(name, node) as container:
            image = self._api.inspect_container(container)["Config"]["Image"]
            return execution.run(
                self._api, container, tools.java_command(image, command, heap="32m", own=f"{NODE_HOME}/config")
            )

    def run_tool(self, environment: ObservedEnvironment, command: JavaCommand, streams: Streams) -> int:
        """Run it in a separate container, so that it needs no running node and does not use a node's memory."""
        with translated(f"running {command.main_class}"):
            return tools.run(self._api, environment.name, environment.software, command, streams)

    def inside_address(self, name: str, node: str) -> str:
        """Read it from the node's labels."""
        container = self._ours(name, node)
        return str(container["Labels"].get(spec.INSIDE, "")) if container else ""

    # -- finding ------------------------------------------------------------------------------------------------------

    def _containers(self, *labels: str) -> list[Mapping[str, Any]]:
        """All containers with these labels, running or not.

        An engine can still list a removed container, without a name; it is skipped.
        """
        listed = self._api.containers(all=True, filters={"label": list(labels)} if labels else None)
        return [checked(container) for container in listed if container["Names"]]

    def _ours(self, name: str, node: str) -> Mapping[str, Any] | None:
        labels = [f"{spec.ENVIRONMENT}={name}", f"{spec.NODE}={node}"]
        with translated(f"looking for {node}"):
            return next((c for c in self._containers(*labels) if found.is_node(c)), None)

    def _remove_drafts(self, name: str, node: str) -> None:
        labels = [f"{spec.ENVIRONMENT}={name}", f"{spec.NODE}={node}"]
        for container in self._containers(*labels):
            if not found.is_node(container):
                ending.remove(self._api, container["Id"], f"what was left of {node}")

    def _required(self, name: str, node: str) -> str:
        container = self._ours(name, node)
        if container is None:
            raise NodeGone(name, node)
        return str(container["Id"])

    @contextmanager
    def _node(self, name: str, node: str) -> Iterator[str]:
        """The container of a node that is asked something while another command may be changing the environment.

        Raises:
            NodeGone: there is none, or it has been removed meanwhile.
        """
        container = self._required(name, node)
        try:
            yield container
        except APIError as error:
            if ending.is_going(self._api, container):
                raise NodeGone(name, node) from error
            raise
