"""The runtime interface for a Docker Swarm. Each verb is a few calls; decisions are made elsewhere."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from docker.errors import APIError

from provision.cluster.identity import Identities
from provision.cluster.layout import Layout
from provision.cluster.model import Cluster, Node, RenderedFile
from provision.common.patience import Patience
from provision.errors import ProvisionError, Refused, Unavailable
from provision.events import Listener, silent
from provision.home.holders import Holder
from provision.plan.about import About
from provision.plan.engines import departures
from provision.plan.observed import ObservedEnvironment
from provision.plan.stored import StoredData
from provision.runtime.base import Hold, JavaCommand, Remnant, Runtime, Streams
from provision.runtime.docker import abouts, ending, health, images, locks, tools
from provision.runtime.docker import containers as spec
from provision.runtime.docker.client import connect, lines_in, swarm_of, translated
from provision.runtime.health import Asker, Machine, Probe, Reached, Surroundings, Vitals
from provision.runtime.swarm import jobs, remnants, removing, running, services, storage
from provision.runtime.swarm.calls import labelled, task_log
from provision.runtime.swarm.engines import READY, Engine, engines_in
from provision.runtime.swarm.layout import CONFIG_DIR, Location, SwarmLayout
from provision.runtime.swarm.notes import ConfigVolumes
from provision.runtime.swarm.placement import placed
from provision.runtime.swarm.reach import Reach, container_of
from provision.runtime.swarm.records import (
    BEGUN,
    ENGINE,
    ENGINE_NAME,
    GIVEN_UP,
    IMAGE_ID,
    PREPARED,
    REACHED,
    Record,
    Records,
)
from provision.runtime.swarm.relay import Relay
from provision.runtime.swarm.seen import Seen
from provision.runtime.swarm.services import Image
from provision.spec.names import is_environment_name
from provision.spec.swarm import SWARM

_ENCRYPTED = {"encrypted": ""}
_TOOL_MEMORY_BYTES = 256 * 1024**2


class SwarmRuntime(Runtime):
    """Nodes as services of a swarm, each with one task on one engine; the engine that `docker` uses manages it."""

    kind = SWARM

    def __init__(self) -> None:
        self._client = connect()
        self._api = self._client.api
        with translated("asking the engine for its swarm"):
            told = swarm_of(self._api)
        if not told.get("ControlAvailable"):
            self._client.close()
            state = str(told.get("LocalNodeState") or "inactive")
            why = "it is a worker of a swarm" if state == "active" else f"its swarm is {state}"
            hint = "let DOCKER_HOST or the Docker context name a manager; `docker swarm init` makes one"
            raise Unavailable("the Docker engine is no manager of a swarm", why=why, hint=hint)
        self._swarm = str((told.get("Cluster") or {}).get("ID") or "")
        self._reach = Reach(self._api, str(told.get("NodeID", "")))
        self._records = Records(self._api)
        self._notes: Any = ConfigVolumes(self._api)
        self._relays: dict[str, Relay] = {}

    def close(self) -> None:
        """Close the connections to engines, and to what is only in networks."""
        for relay in self._relays.values():
            relay.close()
        self._reach.close()
        self._client.close()

    # -- observe ------------------------------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """Its kind and the swarm's id, which is the same whichever manager is asked."""
        if not self._swarm:
            with translated("asking for the swarm"):
                self._swarm = str(self._api.inspect_swarm()["ID"])
        return f"{self.kind} {self._swarm}"

    def environments(self) -> tuple[str, ...]:
        """List them by the labels of services, networks and records."""
        with translated("listing environments"):
            return tuple(sorted(filter(is_environment_name, Seen.by(self._api).names)))

    def observe(self, name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:
        """Observe with one list call each for services, tasks, engines, networks and configs."""
        with translated(f"looking at {name}"):
            seen = Seen.by(self._api)
        observed = seen.environment(name, wanted, self._paused(name, seen))
        return replace(observed, proxy=self._relay(observed)) if seen.is_hidden(name) else observed

    def _relay(self, observed: ObservedEnvironment) -> str:
        """The proxy through which brokers are reached of which no port is published."""
        name = observed.name
        if name not in self._relays:
            self._relays[name] = Relay(self._api, name, observed.software, self._tool_labels(name))
        return self._relays[name].url

    def _paused(self, name: str, seen: Seen) -> frozenset[str]:
        """The nodes whose engines, as far as they are reached, tell that they are paused: no manager knows it."""
        ready = {
            one.engine: one.reached
            for one in seen.records(name)
            if one.engine in seen.engines and seen.engines[one.engine].state == READY
        }
        found: set[str] = set()
        for engine, address in ready.items():
            api = self._reach.api_of(engine, address)
            wanted = {"label": [f"{services.OWNER}={name}", spec.NODE], "status": ["paused"]}
            with suppress(ProvisionError), translated(f"looking at {name}"):  # one that has just gone tells nothing
                found |= {one["Labels"][spec.NODE] for one in (api.containers(filters=wanted) if api else ())}
        return frozenset(found)

    def abouts(self) -> Mapping[str, About]:
        """Read them from notes in the swarm."""
        return abouts.known(self._notes)

    def remnants(self) -> tuple[Remnant, ...]:
        """Jobs, and locks."""
        return remnants.found(self._api)

    def read_files(self, name: str, node: str) -> tuple[RenderedFile, ...]:
        """Read configs back; of secrets, which nobody can read, only what identifies them."""
        with translated(f"reading the configuration of {node}"):
            record = self._records.of(name, node)
            return self._records.read(record) if record else ()

    def read_storage(self, name: str, node: str) -> StoredData | None:
        """Look into the volume by a job on its engine; None while that is away."""
        with translated(f"reading the storage of {node}"):
            record = self._records.of(name, node)
            if record is None or not self._engine(record.engine).is_usable:
                return None
            if not record.prepared:
                return StoredData(node, f"volume {record.volume} on {record.engine_name}", files=())
            image = self._image(record.labels.get(spec.SOFTWARE, ""))
            return storage.look(self._api, self._records, name, record, image)

    def log_lines(self, name: str, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """Read those of its newest run, from whichever engine it is on."""
        with translated(f"reading the log of {node}"):
            task = running.newest_task(self._api, self._required(name, node))
            engine = self._engine(self._record(name, node).engine)
            if engine.state != READY:
                raise Unavailable(f"the log of {node} is on its engine", why=engine.trouble)
            if task and container_of(task):
                yield from lines_in(task_log(self._api, task["ID"], tail=tail, follow=follow))

    def hold(self, name: str, holder: Holder, force: Patience | None = None, tell: Listener = silent) -> Hold:
        """Claim it in the swarm, which other homes and machines may use too."""
        return locks.hold(self._notes, name, holder, force, tell)

    def holder(self, name: str) -> Holder | None:
        """The command that has claimed it, of whichever home or machine."""
        return locks.held_by(self._notes, name)

    # -- examine ------------------------------------------------------------------------------------------------------

    def machine(self) -> Machine:
        """That of the manager."""
        with translated("asking the engine"):
            return health.machine(self._api)

    def surroundings(self, name: str) -> Surroundings:
        """Which files its nodes have."""
        with translated(f"looking around {name}"):
            return Surroundings(
                configured={one.node: f"{one.volume}:{CONFIG_DIR}" for one in self._records.all_of(name) if one.files}
            )

    def vitals(self, name: str, node: str) -> Vitals:
        """Look into its container, if its engine is reached; else nothing is known."""
        with translated(f"examining {node}"):
            task = running.newest_task(self._api, self._required(name, node))
            engine = self._engine_api(self._record(name, node))
            return health.of_node(engine, container_of(task)) if engine and container_of(task) else Vitals()

    def ask(self, environment: ObservedEnvironment, asker: Asker, probes: Sequence[Probe]) -> Reached | None:
        """Ask in a container of the manager, in the environment's network or in the engine's default one."""
        network = environment.name if asker is Asker.NETWORK else health.DEFAULT_NETWORK
        labels = self._tool_labels(environment.name)
        with translated(f"asking from {asker}"):
            return health.ask(self._api, environment.name, environment.software, network, probes, labels)

    # -- prepare ------------------------------------------------------------------------------------------------------

    def located(self, layout: Layout, cluster: Cluster, give_up: Collection[str] = ()) -> Layout:
        """Choose an engine for each node that has none yet, or leaves its own."""
        if not isinstance(layout, SwarmLayout):
            return layout
        with translated("choosing engines"):
            seen = Seen.by(self._api)
        engines, observed = seen.engines, seen.environment(cluster.name, (), frozenset())
        leave = departures(observed, give_up, layout.drained).names
        there = {record.node: record.engine for record in seen.records(cluster.name) if record.node not in leave}
        left = {*give_up, *layout.drained, *(observed.places[node].engine for node in leave)}
        chosen = placed(cluster.nodes, (engine for engine in engines.values() if engine.name not in left), there)
        if homeless := [node.name for node in cluster.nodes if node.name not in chosen]:
            why = "; ".join(filter(None, (engine.trouble for engine in engines.values())))
            raise Unavailable(
                f"no engine of the swarm takes {homeless[0]}", why=why, hint="`docker node ls` shows them"
            )
        locations = {
            node: Location(engine, engines[engine].host(layout.addresses))
            for node, engine in chosen.items()
            if engine in engines
        }
        return layout.at(locations)

    def missing_software(self, cluster: Cluster) -> tuple[str, ...]:
        """The images that the manager does not have."""
        return images.missing(self._api, cluster)

    def fetch_software(self, cluster: Cluster, software: str, tell: Listener, digest: str = "") -> None:
        """Pull the image to the manager; the other engines pull it by its digest when they need it."""
        images.fetch(self._api, cluster, software, tell, digest)

    def identify_software(self, cluster: Cluster) -> Identities:
        """The identities of the images on the manager."""
        return images.identities(self._api, cluster)

    def _image(self, software: str) -> Image:
        """An image as every engine knows it: by its digest, else by its id, for which no registry is asked.

        Raises:
            Unavailable: the manager does not have it.
        """
        details = images.inspect(self._api, software)
        if details is None:
            raise Unavailable(f"the image {software} is not there", hint=f"`docker pull {software}`")
        identity = images.identity_of(software, details)
        volumes = tuple(details["Config"].get("Volumes") or ())
        return Image(identity.digest or identity.checksum, identity.checksum, volumes)

    def write_about(self, name: str, about: About) -> None:
        """Write it as a note in the swarm."""
        abouts.write(self._notes, name, about)

    def create_network(self, cluster: Cluster) -> None:
        """Create an overlay network named like the environment, to which containers of any engine can be attached."""
        labels = spec.environment_labels(cluster)
        labels[services.OWNER] = labels.pop(spec.ENVIRONMENT)
        options = _ENCRYPTED if cluster.swarm is None or cluster.swarm.encrypted else {}
        with translated(f"creating the network {cluster.name}"):
            if not self._api.networks(filters=labelled(f"{services.OWNER}={cluster.name}")):
                self._api.create_network(
                    cluster.name, driver="overlay", scope="swarm", attachable=True, options=options, labels=labels
                )

    def create_storage(self, cluster: Cluster, node: Node) -> None:
        """Note the engine that the node's volume is on. The engine makes the volume when it is first used."""
        engine = self._engine(node.engine)
        reached = cluster.swarm.reached.get(engine.name, "") if cluster.swarm else ""
        labels = spec.node_labels(cluster, node) | {ENGINE: engine.id, ENGINE_NAME: engine.name, REACHED: reached}
        with translated(f"noting the volume of {node.name}"):
            self._records.create(cluster.name, node.name, labels)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def create_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile], config_hash: str) -> None:
        """Prepare the volume, store the files in the swarm, and create the service."""
        with translated(f"creating {node.name}"):
            if self._service(cluster.name, node.name) is not None:
                return
            image = self._image(node.software)
            if self._records.of(cluster.name, node.name) is None:
                self.create_storage(cluster, node)
            record = self._record(cluster.name, node.name)
            self._require_up(record)
            if not record.prepared:
                self._records.mark(record, {BEGUN: "true"})
                left = [one for one in self._records.left_of(cluster.name) if one.is_at(record)]
                storage.prepare(self._api, cluster.name, record, image, spec.user_of(cluster, node), empty=bool(left))
                self._records.mark(record, {PREPARED: "true"})
                for one in left:
                    self._records.remove(one)
            self._records.put(record, cluster.name, files)
            options = services.node_service(cluster, node, image, config_hash, record.engine)
            options["labels"] |= {ENGINE: record.engine, IMAGE_ID: image.id}
            try:
                self._api.create_service(**options)
            except APIError as error:
                if "name conflicts" in str(error.explanation):
                    hint = f"`docker service rm {options['name']}` removes it, if nobody needs it"
                    raise Refused(f"the service {options['name']} was not made by provision", hint=hint) from error
                raise

    def format_storage(self, name: str, node: str, cluster_id: str) -> None:
        """Run the release's own tool in a job on the node's engine."""
        with translated(f"formatting the storage of {node}"):
            service, record = self._required(name, node), self._record(name, node)
            software = service["Spec"]["Labels"][spec.SOFTWARE]
            account = service["Spec"]["TaskTemplate"]["ContainerSpec"]["User"]
            what = storage.Formatting(name, record, self._image(software), software, account, cluster_id)
            storage.run_format(self._api, self._records, what)

    def update_files(self, name: str, node: str, files: Sequence[RenderedFile]) -> None:
        """Store them in the swarm; the running task keeps those that it has."""
        with translated(f"writing the configuration of {node}"):
            self._required(name, node)
            self._records.put(self._record(name, node), name, files)

    def start_node(self, name: str, node: str) -> None:
        """Give its service a new task, or let the container of the present one go on if it is paused."""
        service, record = self._required(name, node), self._record(name, node)
        with translated(f"starting {node}"):
            self._require_up(record)
            task = running.newest_task(self._api, service)
            if services.task_state(task) == services.RUNNING and (engine := self._engine_api(record)):
                if engine.inspect_container(container_of(task))["State"]["Paused"]:
                    engine.unpause(container_of(task))
                return
            running.start(self._api, service, record, service["Spec"]["TaskTemplate"]["ContainerSpec"]["User"])
            self._records.sweep(name, node, {file.id for file in record.files})

    def stop_node(self, name: str, node: str, patience_s: float) -> None:
        """Have its engine stop it; where that is not reached, the swarm does, within a minute."""
        self._end(name, node, lambda api, container: ending.stop(api, container, node, patience_s))

    def pause_node(self, name: str, node: str) -> None:
        """Have its engine pause it."""
        service, record = self._required(name, node), self._record(name, node)
        with translated(f"pausing {node}"):
            engine, task = self._engine_api(record), running.newest_task(self._api, service)
            if engine is None:
                hint = f"name the address of {record.engine_name} in swarm.engines"
                raise Unavailable(
                    f"{node} cannot be paused", why="only its engine could, which is not reached", hint=hint
                )
            if not engine.inspect_container(container_of(task))["State"]["Paused"]:
                engine.pause(container_of(task))

    def kill_node(self, name: str, node: str) -> None:
        """Have its engine kill it; where that is not reached, the swarm ends it."""
        self._end(name, node, lambda api, container: ending.kill(api, container, node))

    def _end(self, name: str, node: str, finish: running.Finish) -> None:
        with translated(f"stopping {node}"):
            if service := self._service(name, node):
                record = self._record(name, node)
                away = self._engine(record.engine).state != READY
                engine = None if away else self._engine_api(record)
                running.end(self._api, engine, service, node, finish, away=away)

    # -- remove -------------------------------------------------------------------------------------------------------

    def remove_node(self, name: str, node: str) -> None:
        """End it, and remove its service."""
        self.kill_node(name, node)
        with translated(f"removing {node}"):
            if service := self._service(name, node):
                away = self._engine(service["Spec"]["Labels"].get(ENGINE, "")).state != READY
                running.remove(self._api, service, node, away=away)

    def remove_storage(self, name: str, node: str, *, delete_data: bool) -> None:  # noqa: ARG002 they are in volumes only
        """Have its engine remove the volume."""
        with translated(f"removing the volume {spec.name_of(name, node)}"):
            if record := self._records.of(name, node):
                removing.volume(self._api, self._records, name, record, self._engine_api(record))

    def give_up(self, name: str, nodes: Sequence[str]) -> None:
        """Note it in the records of their volumes: of those on one engine, the first one tells it of all."""
        with translated(f"noting what {name} gives up"):
            for record in self._records.all_of(name):
                if record.node in nodes and not record.given_up:
                    self._records.mark(record, {GIVEN_UP: "true"})

    def abandon(self, name: str, node: str) -> None:
        """Remove its service, and its volume if the engine is reached; else that is noted."""
        self.remove_node(name, node)
        with translated(f"giving up the volume {spec.name_of(name, node)}"):
            if record := self._records.of(name, node):
                is_up = self._engine(record.engine).state == READY
                engine = self._engine_api(record) if is_up else None
                removing.abandoned(self._api, self._records, name, record, engine)

    def remove_network(self, name: str) -> None:
        """Remove jobs, tools and locks left by a killed command, then the network."""
        with translated(f"removing the network {name}"):
            removing.rest(self._api, self._records, name)
            if not self._records.all_of(name):
                known = {engine.id for engine in engines_in(self._api.nodes())}
                removing.left(self._records, name, known, self._engine_api)

    # -- run ----------------------------------------------------------------------------------------------------------

    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        """Run it in a job on the node's engine, in its network and with its files."""
        with translated(f"running {command.main_class} beside {node}"):
            service, record = self._required(name, node), self._record(name, node)
            told = service["Spec"]["TaskTemplate"]["ContainerSpec"]
            software = service["Spec"]["Labels"][spec.SOFTWARE]
            configs, hidden = record.references(told["User"])
            code, output = jobs.run(
                self._api,
                name,
                self._image(software),
                record.engine,
                tools.java_command(software, command, heap="32m", own=CONFIG_DIR),
                what=f"what asks {node}",
                user=told["User"],
                memory_bytes=_TOOL_MEMORY_BYTES,
                configs=configs,
                secrets=hidden,
                network=name,
            )
            return code, output.decode(errors="replace")

    def run_tool(self, environment: ObservedEnvironment, command: JavaCommand, streams: Streams) -> int:
        """Run it in a container of the manager that is attached to the environment's network."""
        with translated(f"running {command.main_class}"):
            labels = self._tool_labels(environment.name)
            return tools.run(self._api, environment.name, environment.software, command, streams, labels)

    def inside_address(self, name: str, node: str) -> str:
        """Read it from the service's labels."""
        service = self._service(name, node)
        return str(service["Spec"]["Labels"].get(spec.INSIDE, "")) if service else ""

    # -- finding ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _tool_labels(name: str) -> dict[str, str]:
        return {services.OWNER: name, spec.ROLE: spec.TOOL_ROLE, **spec.process_label()}

    def _service(self, name: str, node: str) -> Mapping[str, Any] | None:
        wanted = labelled(f"{spec.ENVIRONMENT}={name}", f"{spec.NODE}={node}")
        with translated(f"looking for {node}"):
            return next(iter(self._api.services(filters=wanted)), None)

    def _required(self, name: str, node: str) -> Mapping[str, Any]:
        service = self._service(name, node)
        if service is None:
            raise ProvisionError(f"{name} has no node {node}", hint=f"`provision status {name}` lists them")
        return service

    def _record(self, name: str, node: str) -> Record:
        record = self._records.of(name, node)
        if record is None:
            raise ProvisionError(f"nothing tells on which engine the volume of {node} is", hint="`provision up` again")
        return record

    def _engine(self, identity: str) -> Engine:
        """The engine with that id; one that is down if the swarm knows it no more."""
        with translated("looking at engines"):
            found = {engine.id: engine for engine in engines_in(self._api.nodes())}
        return found.get(identity) or Engine(identity, identity, "", state="gone")

    def _require_up(self, record: Record) -> None:
        if trouble := self._engine(record.engine).trouble:
            raise Unavailable(
                f"{record.node} waits for its engine", why=trouble, hint="`docker node ls` shows its state"
            )

    def _engine_api(self, record: Record) -> Any:  # noqa: ANN401 the SDK's client has no types
        return self._reach.api_of(record.engine, record.reached)
