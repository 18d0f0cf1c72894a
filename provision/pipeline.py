"""The stages in order. Read this first.

    load → resolve → render → observe → plan → apply → observe

`prepare` takes a file through the first five stages and touches nothing; stopping there is what a dry run is. `up` goes
on: the first wave of the plan is applied, the brokers are waited for, what lives inside Kafka is planned and applied,
and the environment is observed until it holds the level that was asked for.
"""

import base64
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from provision.apply import NodeWork, apply_nodes, require_no_refusal
from provision.cluster.catalogue import KRAFT
from provision.cluster.layout import Layout
from provision.cluster.lock import Identities
from provision.cluster.model import Cluster, RenderedFile, StorageKind
from provision.cluster.resolve import fixed_ports, resolve
from provision.errors import InvalidEnvironment, PartlyApplied, ProvisionError, UsageError
from provision.events import Event, Listener, Notice, silent
from provision.frozen import hold_to_lock, require_locked_nodes
from provision.home.directory import home_directory
from provision.home.ports import PortLeases
from provision.interrupts import shielded
from provision.kafka.levels import Level
from provision.observe import observe_living, observe_nodes
from provision.operations import remove_environment
from provision.plan.actions import Action, Kind, Plan, Verb
from provision.plan.nodes import plan_nodes
from provision.plan.observed import ObservedCluster, ObservedEnvironment
from provision.plan.refusals import leaving
from provision.plan.saved import SavedPlan, saved
from provision.plan.upgrade import interim_of
from provision.rolling import Roller
from provision.runtime import choose_runtime, layout_for
from provision.runtime.base import Runtime
from provision.runtime.directories import cluster_id_in, has_data
from provision.second_wave import Agree, agree_to_all, converge, plan_second_wave
from provision.spec.loader import load
from provision.spec.model import EnvironmentSpec
from provision.waiting import Assessment, Wait

NODE_KINDS = (Kind.SOFTWARE, Kind.NETWORK, Kind.STORAGE, Kind.NODE, Kind.FOREIGN)


@dataclass(frozen=True)  # without slots, for what is read once
class Source:
    """An environment file and the `--set` texts for it; it is read once."""

    file: Path
    overrides: tuple[str, ...] = ()

    def load(self, tell: Listener = silent) -> EnvironmentSpec:
        """Stage one; tells what is no mistake and may be regretted."""
        found, warnings = self._found
        for warning in warnings:
            tell(warning)
        if isinstance(found, InvalidEnvironment):
            raise found
        return found

    @cached_property
    def _found(self) -> tuple[EnvironmentSpec | InvalidEnvironment, tuple[Event, ...]]:
        warnings: list[Event] = []
        try:
            return load(self.file, self.overrides, warnings.append), tuple(warnings)
        except InvalidEnvironment as error:
            return error, tuple(warnings)

    def layout(self, spec: EnvironmentSpec, runtime: str) -> Layout:
        """Where that kind of runtime puts things; `auto` is shown as Docker would have it."""
        return layout_for("docker" if runtime == "auto" else runtime, spec, self._base_directory)

    def resolve(self, spec: EnvironmentSpec, layout: Layout, ports: Mapping[str, int]) -> Cluster:
        """Stage two."""
        return resolve(spec, layout, ports, self._base_directory)

    def resolve_without_ports(self, spec: EnvironmentSpec, runtime: str) -> Cluster:
        """Stage two for who does not ask for ports: those to be leased are 0."""
        layout = self.layout(spec, runtime)
        return self.resolve(spec, layout, dict.fromkeys(layout.leased_ports(spec), 0))

    @property
    def _base_directory(self) -> str:
        return str(self.file.absolute().parent)


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is known before anything is touched."""

    cluster: Cluster
    files: tuple[RenderedFile, ...]
    runtime: Runtime
    observed: ObservedEnvironment
    there: ObservedCluster | None
    """What Kafka says, where all of its brokers answer."""
    had_data: bool
    """Whether a storage directory of the user's has data of an earlier life, which a rollback must not touch."""
    plan: Plan

    @property
    def topics_unknown(self) -> bool:
        """Whether the plan says nothing of topics, because not every node runs and answers."""
        return self.there is None and bool(self.observed.nodes) and not self.plan.refusals

    @property
    def saved(self) -> SavedPlan:
        """The plan as it can be kept in a file, bound to what it was made from."""
        cluster = self.cluster
        return saved(self.plan, self.files, cluster.topics, cluster.topic_policy, self.observed, self.there)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How `up` is to go about it.

    `timeout_s` bounds each wait, the first one from the start of the nodes on. `until` is the level to reach. `retain`
    keeps what a failing first `up` made. `saved` is the plan that must be the one that is carried out. `frozen`
    runs what the lock beside the file says, or nothing.
    """

    timeout_s: float = 120.0
    until: Level = Level.TOPICS
    retain: bool = False
    saved: SavedPlan | None = None
    frozen: bool = False


DEFAULTS = Wishes()


@dataclass(frozen=True, slots=True)
class Upped:
    """What `up` reached: `changed` tells whether it did anything, `timings` are seconds by level."""

    assessment: Assessment
    changed: bool
    timings: Mapping[str, float] = field(default_factory=dict)


def validate(source: Source, tell: Listener = silent) -> Cluster:
    """Load and resolve only: no network, no engine, no templates. Warnings are told.

    Raises:
        InvalidEnvironment: with every problem of the file.
    """
    spec = source.load(tell)
    return source.resolve_without_ports(spec, spec.runtime)


def render(source: Source, tell: Listener = silent) -> tuple[RenderedFile, ...]:
    """The configuration files of every node, with the ports that `up` would choose now."""
    from provision.cluster.render import render as render_files

    spec = source.load(tell)
    _require_nodes(spec)
    layout = source.layout(spec, spec.runtime)
    ports = PortLeases(home_directory()).propose(spec.name, layout.leased_ports(spec), {})
    return render_files(source.resolve(spec, layout, ports))


def _require_nodes(spec: EnvironmentSpec) -> None:
    if spec.bootstrap_servers:
        raise UsageError(
            f"{spec.name} has bootstrap_servers: others run its nodes",
            hint="`provision topics apply` makes its topics as the file says",
        )


def prepare(source: Source, *, lease: bool = False, frozen: bool = False, tell: Listener = silent) -> Prepared:
    """From the file to the plan, of locked software alone where it is `frozen`.

    `lease` records automatic ports, and brings software that is missing and locked: `up` wants that, `plan` does not.
    """
    spec = source.load(tell)
    _require_nodes(spec)
    runtime = choose_runtime(spec.runtime, spec.name, tell)
    if spec.kafka.image and runtime.kind == "process":
        tell(Notice("kafka.image is not used by plain processes"))
    layout = source.layout(spec, runtime.kind)
    leases = PortLeases(home_directory())
    before = runtime.observe(spec.name)
    unleased = source.resolve_without_ports(spec, layout.runtime)
    locked = hold_to_lock(source.file, unleased, runtime, tell, bring=lease) if frozen else {}
    assign = leases.lease if lease else leases.propose
    in_use = {**fixed_ports(spec), **_ports_in_use(before)}
    ports = assign(spec.name, layout.leased_ports(spec), in_use)
    try:
        return _prepare(source.resolve(spec, layout, ports), runtime, locked)
    except BaseException:
        if lease and before.is_nothing:
            leases.release(spec.name)
        raise


def _prepare(cluster: Cluster, runtime: Runtime, locked: Identities) -> Prepared:
    """From the resolved cluster on."""
    from provision.cluster.render import render as render_files

    observed = observe_nodes(cluster, runtime)
    if cluster.mode == KRAFT:
        cluster = replace(cluster, cluster_id=observed.cluster_id or _kept_cluster_id(cluster) or _new_cluster_id())
    files = render_files(cluster)
    first_step = interim_of(cluster, observed)
    interim = render_files(first_step) if first_step else None
    first_wave = plan_nodes(
        cluster,
        files,
        observed,
        missing_software=runtime.missing_software(cluster),
        living=observe_living(cluster, interim or files, observed, runtime),
        interim=interim,
    )
    plan, there = Plan(cluster.name, first_wave), None
    if not plan.refusals:  # what is refused has no second wave, and brokers without their ensemble would not answer
        second_wave, there = plan_second_wave(cluster, observed)
        plan = Plan(cluster.name, (*first_wave, *second_wave))
    require_locked_nodes(locked, cluster, observed, plan)
    had_data = bool(cluster.storage.directory) and has_data(Path(cluster.storage.directory), cluster.name)
    return Prepared(cluster, files, runtime, observed, there, had_data, plan)


def _kept_cluster_id(cluster: Cluster) -> str:
    """That of an earlier life, whose data `down` left in the user's directory."""
    if cluster.storage.kind is not StorageKind.DIRECTORY:
        return ""
    return cluster_id_in(Path(cluster.storage.directory), cluster.name)


def _new_cluster_id() -> str:
    """One of its own for every cluster, as Kafka writes them: 128 bits in URL-safe base64, no hyphen in front."""
    return base64.urlsafe_b64encode(bytes([0x7F, *secrets.token_bytes(15)])).decode().rstrip("=")


def up(source: Source, wishes: Wishes = DEFAULTS, *, tell: Listener = silent, agree: Agree = agree_to_all) -> Upped:
    """Create the environment, or make it what the file says, and wait until it holds a level.

    Args:
        source: the file.
        wishes: how far, how long.
        tell: gets the events.
        agree: is shown what will be done, before it is, and raises to stop it: first the plan, then what shows only
            when the brokers answer.

    Raises:
        Refused: the plan has a refusal or is not the saved one, or software is not the locked one; nothing was touched.
        ProvisionError: anything else; a first `up` has removed what it made, unless it is to be retained.
    """
    prepared = prepare(source, lease=True, frozen=wishes.frozen, tell=tell)
    try:
        if wishes.saved:
            wishes.saved.require_fresh(prepared.saved)
        require_no_refusal(prepared.plan)
        agree(prepared.plan)
        return _bring_up(prepared, wishes, tell, agree)
    except BaseException as error:
        if prepared.observed.nodes:  # an update that fails stops where it stands, and the next `up` goes on from there
            raise
        _roll_back(prepared, retain=wishes.retain, tell=tell)
        if isinstance(error, PartlyApplied) and not wishes.retain:
            raise ProvisionError(error.what, why=error.why, hint=error.hint) from error
        raise


def _bring_up(prepared: Prepared, wishes: Wishes, tell: Listener, agree: Agree) -> Upped:
    cluster, runtime = prepared.cluster, prepared.runtime
    began = time.monotonic()
    first_wave = prepared.plan.of_kinds(NODE_KINDS, but=Verb.REMOVE)
    cancelled = threading.Event()
    roller = Roller(runtime, cluster.name, len(cluster.zookeepers), wishes.timeout_s, tell, cancelled)
    work = NodeWork(cluster, runtime, roller, tell)
    apply_nodes(first_wave, work, cancelled)
    leavers = leaving(cluster, prepared.observed)
    nodes = [*(node.name for node in cluster.nodes), *(node.name for node in leavers)]
    deadline = time.monotonic() + wishes.timeout_s
    wait = Wait(runtime, cluster.name, nodes, began=began, deadline=deadline, tell=tell)
    assessment = wait.until(min(wishes.until, Level.BROKERS), cluster.topics)
    changed = bool(first_wave)
    if first_wave and (settings := _settings_left(prepared)):
        agree(Plan(cluster.name, settings))
        apply_nodes(settings, work, cancelled)
    if wishes.until >= Level.TOPICS:
        changed |= converge(prepared.plan, work, wait, agree)
        wait.deadline = time.monotonic() + wishes.timeout_s
        assessment = wait.until(wishes.until, cluster.topics)
    return Upped(assessment, changed, wait.timings)


def _settings_left(prepared: Prepared) -> tuple[Action, ...]:
    """What overrides the files of brokers that have just come: Kafka keeps it while they are away."""
    cluster, runtime = prepared.cluster, prepared.runtime
    observed = runtime.observe(cluster.name)
    living = observe_living(cluster, prepared.files, observed, runtime)
    actions = plan_nodes(cluster, prepared.files, observed, missing_software=(), living=living)
    return tuple(action for action in actions if action.verb is Verb.CONFIGURE)


def _roll_back(prepared: Prepared, *, retain: bool, tell: Listener) -> None:
    """Undo a first `up`: remove what is there now and was not before."""
    name = prepared.cluster.name
    if retain:
        tell(Notice(f"{name} is kept as it is; `provision down {name}` removes it"))
        return
    with shielded(lambda: tell(Notice("still removing; a moment, please"))):
        if remove_environment(prepared.runtime, name, before=prepared.observed, delete_data=not prepared.had_data):
            tell(Notice(f"what was made of {name} is removed again"))
        if prepared.observed.is_nothing:
            PortLeases(home_directory()).release(name)


def _ports_in_use(observed: ObservedEnvironment) -> dict[str, int]:
    return {node.name: int(node.endpoint.rpartition(":")[2]) for node in observed.nodes if node.endpoint}
