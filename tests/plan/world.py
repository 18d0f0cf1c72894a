"""An environment as it can be found, and what the actions of a first wave make of it: for the planner's tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from provision.catalogue.versions import KRAFT
from provision.cluster.fingerprint import config_hash, with_fingerprint
from provision.cluster.layout import container_layout
from provision.cluster.model import MAIN_FILES, Cluster, Node, RenderedFile, Role
from provision.cluster.render import render
from provision.cluster.resolve import resolve
from provision.common.values import replace
from provision.plan.actions import Action, BrokerSettings, Kind, Leftover, NodeTarget, Verb
from provision.plan.nodes import plan_nodes
from provision.plan.observed import NodeDetails, NodeState, ObservedEnvironment, ObservedNode
from provision.plan.phases import Phase
from provision.plan.stored import StoredData
from provision.plan.upgrade import stages_of
from provision.spec.model import EnvironmentSpec

Files = tuple[RenderedFile, ...]
CREATED, RUNNING, EXITED = NodeState.CREATED, NodeState.RUNNING, NodeState.EXITED


def cluster_of(**sections: object) -> Cluster:
    """A ZooKeeper and three brokers in racks, but for the sections that are given."""
    sections = {"zookeeper": {"port": 2181}, "brokers": brokers_with({})} | sections
    spec = EnvironmentSpec.model_validate({"name": "orders", **sections})
    return resolve(spec, container_layout(spec), {}, "/home/me")


def brokers_with(properties: Mapping[str, str | int] = {}, nodes: int = 3, **keys: object) -> dict[str, object]:
    """The section `brokers`."""
    return {"nodes": nodes, "racks": ["a", "b", "c"], "properties": dict(properties), **keys}


_RENDERED: dict[str, Files] = {}


def rendered(cluster: Cluster) -> Files:
    """Its files; rendering takes a while, and a test plans often."""
    key = repr(cluster)
    if key not in _RENDERED:
        _RENDERED[key] = render(cluster)
    return _RENDERED[key]


def files_of(cluster: Cluster, node: str) -> Files:
    return tuple(file for file in rendered(cluster) if file.node == node)


@dataclass(frozen=True, slots=True)
class World:
    """What is there. `files` and `settings` are by node; `dynamic` are the keys that running brokers take."""

    nodes: Mapping[str, ObservedNode] = field(default_factory=dict)
    files: Mapping[str, Files] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    storages: frozenset[str] = frozenset()
    orphaned_data: frozenset[str] = frozenset()
    stored: Mapping[str, StoredData] = field(default_factory=dict)
    network: bool = False
    software: bool = True
    mode: str = ""
    storage: str = ""
    foreign: tuple[str, ...] = ()
    dynamic: frozenset[str] = frozenset()
    controller: int = -1
    ensemble_leader: str = ""

    @property
    def observed(self) -> ObservedEnvironment:
        """As a runtime tells it."""
        return ObservedEnvironment(
            "orders",
            "docker",
            mode=self.mode,
            storage=self.storage,
            network=self.network,
            storages=self.storages,
            orphaned_data=self.orphaned_data,
            stored=self.stored,
            nodes=tuple(sorted(self.nodes.values(), key=lambda node: (node.role, node.number))),
            foreign=self.foreign,
        )

    def but(self, state: NodeState, *names: str, exit_code: int | None = 143) -> "World":
        """With nodes in another state; without names all of them."""
        code = exit_code if state is EXITED else None
        changed = {name: replace(self.nodes[name], state=state, exit_code=code) for name in names or self.nodes}
        return replace(self, nodes={**self.nodes, **changed})

    def astray(self, *names: str, how: str = "it is not in the network orders", cut_off: bool = True) -> "World":
        """With running nodes that are not where they belong; without names all of them."""
        lost = {name: replace(self.nodes[name], astray=how, cut_off=cut_off) for name in names or self.nodes}
        return replace(self, nodes={**self.nodes, **lost})

    def without(self, *names: str, keep_storage: bool = False) -> "World":
        """With nodes gone."""
        kept = {name: node for name, node in self.nodes.items() if name not in names}
        return replace(self, nodes=kept, storages=self.storages if keep_storage else self.storages - set(names))

    def having(self, cluster: Cluster, *names: str, state: NodeState = RUNNING) -> "World":
        """With those nodes as `cluster` has them."""
        world = self
        for node in (node for node in cluster.nodes if node.name in names):
            world = world._made(cluster, node, files_of(cluster, node.name), state)
        return world

    def storing(self, cluster: Cluster, *names: str, used: bool = True) -> "World":
        """With what those nodes of `cluster` have stored, and what they were last used with."""
        stored = {name: stored_by(cluster, name, used=used) for name in names}
        return replace(self, stored={**self.stored, **stored})

    def after(self, cluster: Cluster, *actions: Action) -> "World":
        """What actions towards `cluster` make of it, as the runtimes and Kafka do."""
        world = self
        for action in actions:
            world = world._after(cluster, action)
        return world

    def _after(self, cluster: Cluster, action: Action) -> "World":
        match action.verb, action.kind, action.subject:
            case Verb.FETCH, _, _:
                return replace(self, software=True)
            case Verb.CREATE, Kind.NETWORK, _:
                return replace(self, network=True, mode=cluster.mode)
            case Verb.CREATE, Kind.STORAGE, _:
                return replace(self, storages=self.storages | {action.name})
            case Verb.CREATE, _, NodeTarget(node, files):
                return self._made(cluster, node, files, CREATED)
            case Verb.FORMAT, _, NodeTarget():
                return self.storing(cluster, action.name, used=False) if self.stored else self
            case _:
                return self._changed(cluster, action)

    def _changed(self, cluster: Cluster, action: Action) -> "World":
        """What becomes of a node that is there."""
        match action.verb, action.kind, action.subject:
            case Verb.REMOVE, _, Leftover():
                stored = {name: data for name, data in self.stored.items() if name != action.name}
                return replace(self.without(action.name), stored=stored)
            case Verb.START, _, _:
                return self.but(RUNNING, action.name)
            case Verb.JOIN, _, _:
                assert self.network
                joined = replace(self.nodes[action.name], astray="", cut_off=False)
                return replace(self, nodes={**self.nodes, action.name: joined})
            case ((Verb.RECREATE | Verb.RESTART), _, NodeTarget(node, files, runs)):
                return self._made(cluster, node, files, RUNNING if runs else CREATED)
            case Verb.CONFIGURE, _, BrokerSettings() as settings:
                kept = {k: v for k, v in self.settings.get(action.name, {}).items() if k not in settings.reset}
                files_now = {action.name: with_fingerprint(action.name, settings.files)} if settings.files else {}
                return replace(
                    self,
                    settings={**self.settings, action.name: {**kept, **settings.values}},
                    files={**self.files, **files_now},
                )
            case Verb.CONFIGURE, _, NodeTarget(node, files):
                return replace(self, files={**self.files, node.name: with_fingerprint(node.name, files)})
            case _:
                raise AssertionError(action)

    def edited(self, node: str, before: str, after: str, name: str = "") -> "World":
        """With the files of a node edited by hand; the one of that name, or that with the settings of its role."""
        name = name or MAIN_FILES[Role.parse(node)[0]]
        assert before in "".join(file.text for file in self.files[node] if file.name == name)
        files = tuple(
            replace(file, content=file.content.replace(before.encode(), after.encode("latin-1"), 1))
            if file.name == name
            else file
            for file in self.files[node]
        )
        return replace(self, files={**self.files, node: files})

    def _made(self, cluster: Cluster, node: Node, files: Files, state: NodeState) -> "World":
        made = ObservedNode(
            node.name,
            node.role,
            state,
            config_hash(node.name, files),
            node.endpoint,
            exit_code=143 if state is EXITED else None,
            version=str(cluster.version),
        )
        return replace(
            self,
            nodes={**self.nodes, node.name: made},
            files={**self.files, node.name: with_fingerprint(node.name, files)},
            storages=self.storages | {node.name},
        )


CLUSTER_ID = "fwAAAAAAAAAAAAAAAAAAAA"


def stored_by(cluster: Cluster, node: str, *, used: bool = True, cluster_id: str = CLUSTER_ID) -> StoredData:
    """What a node of `cluster` leaves in its storage."""
    role, number = Role.parse(node)
    key = "node.id" if cluster.mode == KRAFT else "broker.id"
    meta = {} if role is Role.ZOOKEEPER else {key: str(role.id_of(number)), "cluster.id": cluster_id}
    return StoredData(node, f"/data/{node}/meta.properties", meta, used, files_of(cluster, node))


def kept(cluster: Cluster) -> World:
    """What `down --keep-data` leaves of a cluster; what the storages contain is not known."""
    return World(storages=frozenset(node.name for node in cluster.nodes))


def left(cluster: Cluster) -> World:
    """What `down` leaves of a cluster with its data in a directory of the user's; what they contain is not known."""
    return World(orphaned_data=frozenset(node.name for node in cluster.nodes))


def running(cluster: Cluster) -> World:
    """All of a cluster, up and running."""
    world = World(network=True, mode=cluster.mode)
    return world.having(cluster, *(node.name for node in cluster.nodes))


NOTHING = World()


def plan(cluster: Cluster, world: World) -> tuple[Action, ...]:
    """The first wave, put together as the pipeline does."""
    observed = world.observed
    stages = stages_of(cluster, observed)
    phases = [Phase(rendered(stage.cluster), stage.name, stage.cause) for stage in stages]
    brokers = [node.name for node in observed.of_role("broker") if node.state is RUNNING]
    details = NodeDetails(
        files={node.name: world.files.get(node.name, ()) for node in observed.nodes},
        dynamic=dict.fromkeys(brokers, world.dynamic),
        settings={name: world.settings[name] for name in brokers if name in world.settings},
        controller=world.controller,
        ensemble_leader=world.ensemble_leader,
    )
    missing = () if world.software else cluster.all_software
    return plan_nodes(cluster, phases, observed, missing_software=missing, details=details)


def done(cluster: Cluster, world: World) -> World:
    """The world when the first wave towards `cluster` is done."""
    return world.after(cluster, *plan(cluster, world))


def printed(actions: Sequence[Action]) -> str:
    return "".join(f"{action}\n" for action in actions) or "nothing to change\n"
