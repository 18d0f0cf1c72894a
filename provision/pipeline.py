"""The stages in order. Read this first.

    load → choose a runtime → resolve → render → observe → plan → apply → wait

`prepare` takes a file through the stages up to the plan and changes no node: a dry run stops there. `up` continues: it
applies the plan to the nodes, waits for the brokers, plans and applies the resources inside Kafka, and waits until the
environment reaches the requested level.

Most callers use `provision.environment.Environment`, which calls these stages.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from provision.apply.nodes import NodeWork
from provision.apply.rolling import Roller
from provision.apply.walk import apply_nodes, require_no_refusal
from provision.catalogue.versions import KRAFT
from provision.cluster.identity import Identities
from provision.cluster.model import Cluster, RenderedFile
from provision.cluster.resolve import fixed_ports, resolve, resolve_without_ports
from provision.common.interrupts import shielded, telling_where_it_stands
from provision.common.patience import Patience
from provision.errors import NodeFailed, PortTaken, ProvisionError, UsageError
from provision.events import Listener, Notice, Planned, StageDone, silent, until_it_fails
from provision.home.place import Home
from provision.kafka.levels import Level
from provision.observe.cluster_id import cluster_id_for
from provision.observe.nodes import observe_details, observe_nodes
from provision.observe.readiness import Assessment
from provision.observe.waiting import Wait
from provision.operations.changing import Change
from provision.operations.files import require_nodes
from provision.operations.ports import back_to, found_taken, ports_in_use, situation
from provision.operations.remove import finish_removal, remove_environment
from provision.operations.rollback import undone
from provision.operations.storage import require_storage_apart
from provision.operations.trainers import tell_of_archives
from provision.operations.whose import Maker, about_of, note_about, require_same_file, tell_expired
from provision.plan.actions import Action, Impact, Plan, Verb
from provision.plan.nodes import plan_nodes
from provision.plan.observed import ObservedEnvironment
from provision.plan.phases import Phase
from provision.plan.refusals import leaving, leftovers
from provision.plan.saved import SavedPlan, saved
from provision.plan.upgrade import stages_of
from provision.resources.registry import Resources, desired_resources
from provision.resources.rounds import Agree, Inside, Known, accept_all, converge, fingerprint, plan_resources
from provision.resources.topics import DELETE_TOPICS
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.runtime.directories import has_data
from provision.software.frozen import require_pinned_nodes, require_pins_match
from provision.spec.source import Source


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is known before anything is changed."""

    cluster: Cluster
    desired: Resources
    """The desired resources inside Kafka, by kind."""
    phases: tuple[Phase, ...]
    """The rendered files; more than one phase if the change cannot be made in one step."""
    runtime: Runtime
    observed: ObservedEnvironment
    inside: Inside | None
    """What the brokers report, if all of them answer."""
    had_data: bool
    """Whether a user's storage directory has data from before, which a rollback must not touch."""
    plan: Plan
    leased: frozenset[str] = frozenset()
    """The names under which this command has leased ports, which a rollback releases."""

    @property
    def files(self) -> tuple[RenderedFile, ...]:
        """The files that the nodes have after the last phase."""
        return self.phases[-1].files

    def plan_until(self, level: Level) -> Plan:
        """The part of the plan that is carried out if `up` only has to reach this level."""
        return self.plan if level >= Level.TOPICS else Plan(self.cluster.name, self.plan.first_wave)

    @property
    def topics_unknown(self) -> bool:
        """Whether the plan leaves topics out, because not every node is running and answering."""
        return self.inside is None and bool(self.observed.nodes) and not self.plan.refusals

    @property
    def holds(self) -> bool:
        """Whether the plan need not be made again when it is carried out.

        It was made against brokers that all answered, and only adds to them: neither a change of a node nor a user who
        is asked comes between.
        """
        added = all(action.impact is Impact.NONE for action in self.plan.actions)
        return self.inside is not None and not self.plan.first_wave and added

    @property
    def saved(self) -> SavedPlan:
        """The plan in the form that is saved to a file, bound to the state it was made from."""
        cluster_id = self.inside.cluster.cluster_id if self.inside else ""
        return saved(self.plan, self.files, self.observed, cluster_id, fingerprint(self.desired, self.inside))


@dataclass(frozen=True, slots=True)
class UpOptions:
    """How `up` proceeds.

    `timeout_s` bounds each wait, the first one counted from the start of the nodes. `until` is the level to reach.
    `retain` keeps what a failed first `up` created. `saved` is the only plan that may be carried out. `frozen` runs
    exactly what the lock next to the file records, or nothing. `take_over` also uses an environment that was made from
    another file. `owner` is the person or CI job it is for (empty: what `PROVISION_OWNER` names), `owner_pid` the
    process with whose end it goes. `warm` lets missing archives be trained in the background afterwards, if
    that can slow nobody's work.
    """

    timeout_s: float = 120.0
    until: Level = Level.TOPICS
    retain: bool = False
    saved: SavedPlan | None = None
    frozen: bool = False
    take_over: bool = False
    owner: str = ""
    owner_pid: int | None = None
    warm: bool = False


DEFAULTS = UpOptions()


@dataclass(frozen=True, slots=True)
class UpResult:
    """What `up` reached; `timings` are seconds by level. Nodes that are `cold` could start faster with archives."""

    assessment: Assessment
    changed: bool
    timings: Mapping[str, float] = field(default_factory=dict)
    cold: bool = False


def prepare(  # noqa: PLR0913 what it is, and how it is taken
    source: Source,
    runtimes: Runtimes,
    *,
    lease: bool = False,
    frozen: bool = False,
    taken: frozenset[int] = frozenset(),
    take_over: bool = False,
    tell: Listener = silent,
    hold: Callable[[Runtime], None] = lambda _runtime: None,
) -> Prepared:
    """Take a file to its plan; with `frozen`, only if the software is what the lock records.

    `lease` records automatic ports and fetches missing locked software, which `up` wants and `plan` does not. `hold`
    claims the environment in its runtime before anything of it is looked at. `take_over` also uses an environment that
    was made from another file. `taken` are automatic ports that others must replace.
    """
    spec = source.load(tell)
    tell(StageDone("load"))
    require_nodes(spec)
    require_storage_apart(source, spec, runtimes.home)
    runtime = runtimes.choose(spec.runtime, spec.name, tell)
    hold(runtime)
    if runtime.kind == "process":
        runtimes.home.require_path()  # it is in the files of every node
        if spec.kafka.image:
            tell(Notice("kafka.image is not used by plain processes"))
    tell(StageDone("choose", runtime.kind))
    layout = runtimes.layout(runtime.kind, spec, source.base_directory)
    leases = runtimes.home.ports
    before = runtime.observe(spec.name)
    require_same_file(spec.name, before.about, source, take_over=take_over, tell=tell)
    if lease:
        before = finish_removal(runtime, before, runtimes.home, tell)
    unleased = resolve_without_ports(spec, layout, source.base_directory)
    pinned = require_pins_match(source.required_file, unleased, runtime, tell, bring=lease) if frozen else {}
    assign = leases.lease if lease else leases.propose
    in_use = {**fixed_ports(spec), **ports_in_use(before, taken)}
    leased_before, names = leases.held(spec.name), layout.leased_ports(spec)
    choice = situation(runtimes, runtime, before, taken, lease=lease and bool(names))
    ports = assign(spec.name, names, in_use, choice)
    leased = frozenset(ports.keys() - leased_before) if lease else frozenset[str]()
    try:
        cluster = resolve(spec, layout, ports, source.base_directory)
        tell(StageDone("resolve"))
        prepared = _prepare(cluster, desired_resources(spec), runtime, runtimes.home, pinned, tell)
    except BaseException:
        leases.release(spec.name, leased)
        raise
    return replace(prepared, leased=leased)


def _prepare(
    cluster: Cluster, desired: Resources, runtime: Runtime, home: Home, pinned: Identities, tell: Listener
) -> Prepared:
    """Take the resolved cluster to its plan."""
    from provision.cluster.render import render as render_files

    observed = observe_nodes(cluster, runtime)
    if observed.is_half_removed:  # `up` removes what is left of it first
        observed = ObservedEnvironment(cluster.name, runtime.kind, about=observed.about)
    tell(StageDone("observe", "nodes"))
    if cluster.mode == KRAFT:
        cluster = replace(cluster, cluster_id=cluster_id_for(cluster, observed))
    stages = stages_of(cluster, observed)
    phases = tuple(Phase(render_files(stage.cluster), stage.name, stage.cause) for stage in stages)
    tell(StageDone("render"))
    missing, details = runtime.missing_software(cluster), observe_details(cluster, phases[0].files, observed, runtime)
    tell(StageDone("observe", "files and brokers"))
    first_wave = plan_nodes(cluster, phases, observed, missing_software=missing, details=details)
    plan, inside = Plan(cluster.name, first_wave), None
    if not plan.refusals:  # a refused plan has no second wave, and brokers without their ensemble would not answer
        then = observed.without(leftovers(cluster, observed))
        second_wave, inside = plan_resources(cluster, desired, then, home)
        plan = Plan(cluster.name, (*first_wave, *second_wave))
    tell(StageDone("plan", "with what the brokers have" if inside else ""))
    require_pinned_nodes(pinned, cluster, observed, plan)
    had_data = bool(cluster.storage.directory) and has_data(Path(cluster.storage.directory), cluster.name)
    return Prepared(cluster, desired, phases, runtime, observed, inside, had_data, plan)


def up(
    source: Source,
    runtimes: Runtimes,
    options: UpOptions = DEFAULTS,
    *,
    tell: Listener = silent,
    agree: Agree = accept_all,
    change: Change | None = None,
) -> UpResult:
    """Create the environment or update it to match the file, and wait until it reaches a level.

    Args:
        source: the file.
        runtimes: where it may run.
        options: the level to reach and the time limit.
        tell: receives the events.
        agree: called with what will be done before it is done; raises to stop it. First with the plan, then with what
            shows only once the brokers answer.
        change: holds the environment, and has the listener; None if the caller sees to it that nobody else changes it.

    Raises:
        Refused: the plan has a refusal, is not the saved one, or the software is not as locked; nothing was changed.
        ProvisionError: anything else; a first `up` has removed what it created, unless `retain` is set.
    """
    maker = Maker.of(runtimes.home.directory, options.owner, options.owner_pid)
    change = change or Change(tell)
    tell = change.tell
    prepared = prepare(
        source,
        runtimes,
        lease=True,
        frozen=options.frozen,
        take_over=options.take_over,
        tell=tell,
        hold=change.hold,
    )
    try:
        _decide(prepared, options, tell, agree)
    except BaseException:  # nothing is created or changed yet
        runtimes.home.ports.release(prepared.cluster.name, prepared.leased)
        raise
    try:
        about = about_of(source, maker, prepared.observed, prepared.cluster.ttl_s, take_over=options.take_over)
        note_about(prepared.runtime, prepared.observed, about, tell)  # before anything is created
        tell_expired(prepared.runtime, tell)
        try:
            result, wait = _bring_up(prepared, runtimes.home, options, tell, agree)
        except (PortTaken, NodeFailed) as error:
            again = _with_other_ports(source, runtimes, prepared, options, error, tell)
            _decide(again, options, tell, agree)
            note_about(again.runtime, again.observed, about, tell)
            result, wait = _bring_up(again, runtimes.home, options, tell, agree)
    except BaseException as error:
        # A failed update stops where it is, and the next `up` continues from there; another command that has taken the
        # environment over decides what becomes of it.
        if prepared.observed.nodes or not change.is_held:
            raise
        name = prepared.cluster.name
        if options.retain:
            tell(Notice(f"{name} is kept as it is; `provision down {name}` removes it"))
            raise
        change.roll_back()
        told = undone(error, lambda: _roll_back(prepared, runtimes.home, tell), name)
        if told is error:
            raise
        raise told from error
    if options.until <= Level.TOPICS:
        return result
    name = prepared.cluster.name  # what works is not removed because the last check of it fails
    with telling_where_it_stands(lambda: f"{name} is up and has reached topics; `provision down {name}` removes it"):
        return replace(result, assessment=wait.roundtrip(result.assessment))


def _with_other_ports(
    source: Source,
    runtimes: Runtimes,
    prepared: Prepared,
    options: UpOptions,
    error: PortTaken | NodeFailed,
    tell: Listener,
) -> Prepared:
    """What is to be done instead, after a port that was free when it was chosen has turned out to be taken.

    Raises:
        ProvisionError: the error, if it is about something else, or a port that was not chosen here.
    """
    cluster, home = prepared.cluster, runtimes.home
    taken = found_taken(error, cluster, home.ports.of(cluster.name))
    if not taken or options.saved:  # a saved plan has its ports
        raise error
    ports = ", ".join(f"{port} of {name}" for name, port in taken.items())
    tell(Notice(f"taken by another program meanwhile: port {ports}; {cluster.name} begins again with another one"))
    try:
        back_to(prepared.observed, prepared.runtime, tell, delete_data=not prepared.had_data)
    except ProvisionError as failure:
        error.add(f"and it could not begin again: {failure}", failure.why)
        raise error from failure
    return prepare(source, runtimes, lease=True, frozen=options.frozen, taken=frozenset(taken.values()))


def _decide(prepared: Prepared, options: UpOptions, tell: Listener, agree: Agree) -> None:
    """Raise unless the plan may be carried out, and have it agreed to; nothing is changed."""
    if options.saved:
        options.saved.require_fresh(prepared.saved)
    require_no_refusal(prepared.plan)
    if options.until is Level.ROUNDTRIP:
        _require_deletable_topics(prepared.cluster)
    plan = prepared.plan_until(options.until)
    tell(Planned(plan.as_dict()))
    agree(plan)


def _require_deletable_topics(cluster: Cluster) -> None:
    """A round trip creates a topic, and deletes it again."""
    if any(str(node.properties.get(DELETE_TOPICS)).lower() == "false" for node in cluster.nodes):
        raise UsageError(
            "a round trip would leave its topic behind",
            why=f"the file sets {DELETE_TOPICS} to false",
            hint="use `--until topics`",
        )


def _bring_up(
    prepared: Prepared, home: Home, options: UpOptions, tell: Listener, agree: Agree
) -> tuple[UpResult, Wait]:
    cluster, runtime = prepared.cluster, prepared.runtime
    began, patience = time.monotonic(), Patience(options.timeout_s)
    first_wave = prepared.plan.first_wave
    work = NodeWork(cluster, runtime, Roller(runtime, cluster.name, len(cluster.zookeepers), patience, tell), tell)
    known = Known(prepared.plan, prepared.observed, prepared.inside if prepared.holds else None)
    apply_nodes(first_wave, work)
    leavers = leaving(cluster, prepared.observed)
    nodes = [*(node.name for node in cluster.nodes), *(node.name for node in leavers)]
    wait = Wait(runtime, cluster.name, nodes, patience, tell, began=began)
    if not prepared.holds or options.until < Level.TOPICS:
        assessment = wait.until(min(options.until, Level.BROKERS), cluster.topics)
    changed = bool(first_wave)
    if first_wave and (settings := _settings_left(prepared)):
        late = Plan(cluster.name, settings)
        tell(Planned(late.as_dict()))
        agree(late)
        apply_nodes(settings, work)
    if options.until >= Level.TOPICS:
        changed |= converge(known, prepared.desired, work, wait, home, agree)
        assessment = wait.until(Level.TOPICS, cluster.topics)
    cold = bool(first_wave) and tell_of_archives(runtime, cluster, tell)
    return UpResult(assessment, changed, wait.timings, cold), wait


def _settings_left(prepared: Prepared) -> tuple[Action, ...]:
    """Dynamic settings that override the files of newly started brokers: Kafka keeps them while a broker is down."""
    cluster, runtime = prepared.cluster, prepared.runtime
    observed = runtime.observe(cluster.name)
    details = observe_details(cluster, prepared.files, observed, runtime)
    actions = plan_nodes(cluster, prepared.phases[-1:], observed, missing_software=(), details=details)
    return tuple(action for action in actions if action.verb is Verb.CONFIGURE)


def _roll_back(prepared: Prepared, home: Home, tell: Listener) -> None:
    """Undo a first `up`: remove what exists now and did not before."""
    name, tell = prepared.cluster.name, until_it_fails(tell)
    with shielded(lambda: tell(Notice("still removing, please wait; again ends it at once"))):
        removed = remove_environment(
            prepared.runtime, name, before=prepared.observed, delete_data=not prepared.had_data, tell=tell
        )
        home.ports.release(name, prepared.leased)
        if removed:
            tell(Notice(f"what was created of {name} is removed again"))
        left = prepared.runtime.observe(name)
        if prepared.observed.about not in (None, left.about) and not left.is_absent:
            prepared.runtime.write_about(name, prepared.observed.about)
        if left.is_absent:
            home.seeds(name).forget_all()
        if grown := sorted(left.storages - prepared.observed.storages):
            tell(Notice(f"the data of {', '.join(grown)} stay: some may have moved there from the kept ones"))
