"""The runtime interface for a Docker Swarm. Each verb is a few calls; decisions are made elsewhere."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from provision.cluster.identity import Identities
from provision.cluster.layout import Layout
from provision.cluster.model import Cluster, Node, RenderedFile
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import Unavailable
from provision.events import Listener, silent
from provision.home.holders import Holder
from provision.plan.about import About
from provision.plan.observed import ObservedEnvironment
from provision.plan.stored import StoredData
from provision.runtime.base import Hold, JavaCommand, Remnant, Runtime, Streams
from provision.runtime.docker import abouts, ending, health, images, locks, tools
from provision.runtime.docker import containers as spec
from provision.runtime.docker.client import lines_in, translated
from provision.runtime.health import Asker, Machine, Probe, Reached, Surroundings, Vitals
from provision.runtime.swarm import beside, making, remnants, removing, running, services, storage
from provision.runtime.swarm.calls import task_log
from provision.runtime.swarm.engines import READY, engines_in
from provision.runtime.swarm.layout import CONFIG_DIR, SwarmLayout
from provision.runtime.swarm.manager import Manager
from provision.runtime.swarm.placement import located
from provision.runtime.swarm.reach import container_of
from provision.runtime.swarm.records import ENGINE, GIVEN_UP
from provision.runtime.swarm.relay import Relay
from provision.runtime.swarm.seen import Seen
from provision.spec.names import is_environment_name
from provision.spec.swarm import SWARM


class SwarmRuntime(Runtime):
    """Nodes as services of a swarm, each with one task on one engine; the engine that `docker` uses manages it."""

    kind = SWARM

    def __init__(self) -> None:
        self._manager = Manager()
        self._api = self._manager.api
        self._records = self._manager.records
        self._relays: dict[str, Relay] = {}

    def close(self) -> None:
        """Close the connections to engines, and to what is only in networks."""
        for relay in self._relays.values():
            relay.close()
        self._manager.close()

    # -- observe ------------------------------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """Its kind and the swarm's id, which is the same whichever manager is asked."""
        return f"{self.kind} {self._manager.swarm}"

    def environments(self) -> tuple[str, ...]:
        """List them by the labels of services, networks and records."""
        with translated("listing environments"):
            return tuple(sorted(filter(is_environment_name, Seen.by(self._api).names)))

    def observe(self, name: str, wanted: Sequence[str] = ()) -> ObservedEnvironment:
        """Observe with one list call each for services, tasks, engines, networks and configs."""
        with translated(f"looking at {name}"):
            seen = Seen.by(self._api)
        observed = seen.environment(name, wanted, self._manager.paused(name, seen))
        return replace(observed, proxy=self._relay(observed)) if seen.is_hidden(name) else observed

    def _relay(self, observed: ObservedEnvironment) -> str:
        """The proxy through which brokers are reached of which no port is published."""
        name = observed.name
        if name not in self._relays:
            self._relays[name] = Relay(self._api, name, observed.software, self._tool_labels(name))
        return self._relays[name].url

    def abouts(self) -> Mapping[str, About]:
        """Read them from notes in the swarm."""
        return abouts.known(self._manager.notes)

    def remnants(self) -> tuple[Remnant, ...]:
        """Jobs, and locks."""
        return remnants.found(self._api)

    def read_files(self, name: str, node: str) -> tuple[RenderedFile, ...]:
        """Read configs back; of secrets, which nobody can read, only what identifies them."""
        with translated(f"reading the configuration of {node}"):
            record = self._records.of(name, node)
            if record is None:
                self._manager.required(name, node)
            return self._records.read(record) if record else ()

    def read_storage(self, name: str, node: str) -> StoredData | None:
        """Look into the volume by a job on its engine; None while that is away."""
        with translated(f"reading the storage of {node}"):
            record = self._records.of(name, node)
            if record is None or not self._manager.engine(record.engine).is_usable:
                return None
            if not record.prepared:
                return StoredData(node, f"volume {record.volume} on {record.engine_name}", files=())
            image = self._manager.image(record.labels.get(spec.SOFTWARE, ""))
            return storage.look(self._api, self._records, name, record, image)

    def log_lines(self, name: str, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """Read those of its newest run, from whichever engine it is on."""
        with translated(f"reading the log of {node}"):
            task = running.newest_task(self._api, self._manager.required(name, node))
            engine = self._manager.engine(self._manager.record(name, node).engine)
            if engine.state != READY:
                raise Unavailable(f"the log of {node} is on its engine", why=engine.trouble)
            if task and container_of(task):
                yield from lines_in(task_log(self._api, task["ID"], tail=tail, follow=follow))

    def hold(self, name: str, holder: Holder, force: Patience | None = None, tell: Listener = silent) -> Hold:
        """Claim it in the swarm, which other homes and machines may use too."""
        return locks.hold(self._manager.notes, name, holder, force, tell)

    def holder(self, name: str) -> Holder | None:
        """The command that has claimed it, of whichever home or machine."""
        return locks.held_by(self._manager.notes, name)

    def killed_holder(self, name: str) -> Holder | None:
        """The command whose lock is left, of whichever home or machine."""
        return locks.left_by(self._manager.notes, name)

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
            task = running.newest_task(self._api, self._manager.required(name, node))
            engine = self._manager.api_of(self._manager.record(name, node))
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
            return located(layout, cluster, Seen.by(self._api), give_up)

    def missing_software(self, cluster: Cluster) -> tuple[str, ...]:
        """The images that the manager does not have."""
        return images.missing(self._api, cluster)

    def fetch_software(self, cluster: Cluster, software: str, tell: Listener, digest: str = "") -> None:
        """Pull the image to the manager; the other engines pull it by its digest when they need it."""
        images.fetch(self._api, cluster, software, tell, digest)

    def identify_software(self, cluster: Cluster) -> Identities:
        """The identities of the images on the manager."""
        return images.identities(self._api, cluster)

    def write_about(self, name: str, about: About) -> None:
        """Write it as a note in the swarm."""
        abouts.write(self._manager.notes, name, about)

    def create_network(self, cluster: Cluster) -> None:
        """Create an overlay network named like the environment, to which containers of any engine can be attached."""
        with translated(f"creating the network {cluster.name}"):
            making.network(self._manager, cluster)

    def create_storage(self, cluster: Cluster, node: Node) -> None:
        """Note the engine that the node's volume is on. The engine makes the volume when it is first used."""
        with translated(f"noting the volume of {node.name}"):
            making.record(self._manager, cluster, node)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def create_node(self, cluster: Cluster, node: Node, files: Sequence[RenderedFile]) -> None:
        """Prepare the volume, store the files in the swarm, and create the service."""
        with translated(f"creating {node.name}"):
            making.service(self._manager, cluster, node, files)

    def format_storage(self, name: str, node: str, cluster_id: str) -> None:
        """Run the release's own tool in a job on the node's engine."""
        with translated(f"formatting the storage of {node}"):
            service, record = self._manager.required(name, node), self._manager.record(name, node)
            software = service["Spec"]["Labels"][spec.SOFTWARE]
            account = service["Spec"]["TaskTemplate"]["ContainerSpec"]["User"]
            what = storage.Formatting(name, record, self._manager.image(software), software, account, cluster_id)
            storage.run_format(self._api, self._records, what)

    def update_files(self, name: str, node: str, files: Sequence[RenderedFile]) -> None:
        """Store them in the swarm; the running task keeps those that it has."""
        with translated(f"writing the configuration of {node}"):
            self._manager.required(name, node)
            self._records.put(self._manager.record(name, node), name, files)

    def start_node(self, name: str, node: str) -> None:
        """Give its service a new task, or let the container of the present one go on if it is paused."""
        service, record = self._manager.required(name, node), self._manager.record(name, node)
        with translated(f"starting {node}"):
            self._manager.require_up(record)
            task = running.newest_task(self._api, service)
            if services.task_state(task) == services.RUNNING and (engine := self._manager.api_of(record)):
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
        service, record = self._manager.required(name, node), self._manager.record(name, node)
        with translated(f"pausing {node}"):
            engine, task = self._manager.api_of(record), running.newest_task(self._api, service)
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
            if service := self._manager.service(name, node):
                record = self._manager.record(name, node)
                away = self._manager.engine(record.engine).state != READY
                engine = None if away else self._manager.api_of(record)
                running.end(self._api, engine, service, node, finish, away=away)

    # -- remove -------------------------------------------------------------------------------------------------------

    def remove_node(self, name: str, node: str) -> None:
        """End it, and remove its service."""
        self.kill_node(name, node)
        with translated(f"removing {node}"):
            if service := self._manager.service(name, node):
                away = self._manager.engine(service["Spec"]["Labels"].get(ENGINE, "")).state != READY
                running.remove(self._api, service, node, away=away)

    def remove_storage(self, name: str, node: str, *, delete_data: bool) -> None:  # noqa: ARG002 they are in volumes only
        """Have its engine remove the volume."""
        with translated(f"removing the volume {spec.name_of(name, node)}"):
            if record := self._records.of(name, node):
                removing.volume(self._api, self._records, name, record, self._manager.api_of(record))

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
                is_up = self._manager.engine(record.engine).state == READY
                engine = self._manager.api_of(record) if is_up else None
                removing.abandoned(self._api, self._records, name, record, engine)

    def remove_network(self, name: str) -> None:
        """Remove jobs, tools and locks left by a killed command, then the network."""
        with translated(f"removing the network {name}"):
            removing.rest(self._api, self._records, name)
            if not self._records.all_of(name):
                known = {engine.id for engine in engines_in(self._api.nodes())}
                removing.left(self._records, name, known, self._manager.api_of)

    # -- run ----------------------------------------------------------------------------------------------------------

    def run_in_node(self, name: str, node: str, command: JavaCommand) -> tuple[int, str]:
        """Run it in a job on the node's engine, in its network and with its files."""
        with translated(f"running {command.main_class} beside {node}"):
            return beside.run(self._manager, name, node, command)

    def run_tool(self, environment: ObservedEnvironment, command: JavaCommand, streams: Streams) -> int:
        """Run it in a container of the manager that is attached to the environment's network."""
        with translated(f"running {command.main_class}"):
            labels = self._tool_labels(environment.name)
            return tools.run(self._api, environment.name, environment.software, command, streams, labels)

    def inside_address(self, name: str, node: str) -> str:
        """Read it from the service's labels."""
        service = self._manager.service(name, node)
        return str(service["Spec"]["Labels"].get(spec.INSIDE, "")) if service else ""

    @staticmethod
    def _tool_labels(name: str) -> dict[str, str]:
        return {services.OWNER: name, spec.ROLE: spec.TOOL_ROLE, **spec.process_label()}
