"""The stages in order. Read this first.

    load → choose a runtime → resolve → render → observe → plan → apply → wait

`prepare` (`preparing.py`) takes a file through the stages up to the plan and changes no node: a dry run stops there.
`up` continues: it applies the plan to the nodes, waits for the brokers, plans and applies the resources inside Kafka,
and waits until the environment reaches the requested level.

Most callers use `provision.environment.Environment`, which calls these stages.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from provision.apply.nodes import NodeWork
from provision.apply.rolling import Roller
from provision.apply.walk import apply_nodes, require_no_refusal
from provision.cluster.model import Cluster
from provision.common.interrupts import shielded, telling_where_it_stands
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import Interrupted, NodeFailed, PortTaken, ProvisionError, UsageError
from provision.events import Listener, Notice, Planned, silent, until_it_fails
from provision.home.place import Home
from provision.home.secrets import Where, brought, forget_at, note_where, secrets_of
from provision.kafka.levels import Level
from provision.observe.nodes import observe_details
from provision.observe.readiness import Assessment
from provision.observe.waiting import Wait
from provision.operations.changing import Change
from provision.operations.ports import back_to, found_taken
from provision.operations.remove import remove_environment
from provision.operations.rollback import undone
from provision.operations.trainers import tell_of_archives
from provision.operations.whose import Maker, about_of, note_about, tell_expired
from provision.plan.about import About
from provision.plan.actions import Action, Plan, Verb
from provision.plan.nodes import plan_nodes
from provision.plan.refusals import leaving
from provision.plan.saved import SavedPlan
from provision.preparing import PlanOptions, Prepared, prepare
from provision.resources.kind import Work
from provision.resources.rounds import (
    Agree,
    Known,
    accept_all,
    apply_resources,
    converge,
    target_of,
)
from provision.resources.topics import DELETE_TOPICS
from provision.runtime import Runtimes
from provision.security.material import Rotation
from provision.spec.source import Source


def _nothing() -> None: ...


@dataclass(frozen=True, slots=True)
class UpOptions:
    """How `up` proceeds.

    `timeout_s` bounds each wait, the first one counted from the start of the nodes. `until` is the level to reach.
    `retain` keeps what a failed first `up` created. `saved` is the only plan that may be carried out. `frozen` runs
    exactly what the lock next to the file records, or nothing. `take_over` also uses an environment that was made from
    another file. `owner` is the person or CI job it is for (empty: what `PROVISION_OWNER` names), `owner_pid` the
    process with whose end it goes. `rotation` is a step to another authority of its certificates. `give_up` names
    engines that are gone for good. `warm` lets missing archives be trained in the background afterwards, if that can
    slow nobody's work. `before_undoing` is called before what a failed first `up` created is removed, unless it was
    interrupted.
    """

    timeout_s: float = 120.0
    until: Level = Level.TOPICS
    retain: bool = False
    saved: SavedPlan | None = None
    frozen: bool = False
    take_over: bool = False
    owner: str = ""
    owner_pid: int | None = None
    rotation: Rotation | None = None
    give_up: tuple[str, ...] = ()
    warm: bool = False
    before_undoing: Callable[[], None] = _nothing

    @property
    def planning(self) -> PlanOptions:
        """How the plan is made that it carries out."""
        return PlanOptions(
            lease=True,
            frozen=self.frozen,
            take_over=self.take_over,
            rotation=self.rotation,
            give_up=self.give_up,
        )


DEFAULTS = UpOptions()


@dataclass(frozen=True, slots=True)
class UpResult:
    """What `up` reached; `timings` are seconds by level. Nodes that are `cold` could start faster with archives."""

    assessment: Assessment
    changed: bool
    timings: Mapping[str, float] = field(default_factory=dict)
    cold: bool = False


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
    prepared = prepare(source, runtimes, options.planning, tell=tell, hold=change.hold)
    try:
        _decide(prepared, options, tell, agree)
    except BaseException:  # nothing is created or changed yet
        runtimes.home.ports.release(prepared.cluster.name, prepared.leased)
        raise
    try:
        prepared, about = _settled(prepared, source, maker, options)
        _note_place(prepared, runtimes.home)
        note_about(prepared.runtime, prepared.observed, about, tell)  # before anything is created
        tell_expired(runtimes.connected(), tell)
        try:
            result, wait = _bring_up(prepared, runtimes.home, options, tell, agree)
        except (PortTaken, NodeFailed) as error:
            again = _going_on(source, runtimes, prepared, options, error, tell)
            _decide(again, options, tell, agree)
            again, about = _settled(again, source, maker, options)
            note_about(again.runtime, again.observed, about, tell)
            result, wait = _bring_up(again, runtimes.home, options, tell, agree)
    except BaseException as error:
        told = _given_up(error, prepared, runtimes.home, options, change)
        if told is error:
            raise
        raise told from error
    _forget_former(prepared, runtimes.home)
    runtimes.home.ports.release(prepared.cluster.name, prepared.temporary)
    if options.until <= Level.TOPICS:
        return result
    name = prepared.cluster.name  # what works is not removed because the last check of it fails
    with telling_where_it_stands(lambda: f"{name} is up and has reached topics; `provision down {name}` removes it"):
        return replace(result, assessment=wait.roundtrip(result.assessment))


def _settled(prepared: Prepared, source: Source, maker: Maker, options: UpOptions) -> tuple[Prepared, About]:
    """The same with its secrets in the home that the environment is to belong to, and what it is to know of itself.

    Where the secrets were, they stay until it is up.
    """
    cluster, material = prepared.cluster, prepared.material
    about = about_of(
        source,
        maker,
        prepared.observed,
        cluster.ttl_s,
        security=cluster.security,
        secrets=material.identity or (prepared.observed.about.secrets if prepared.observed.about else ""),
        take_over=options.take_over,
    )
    if material.files:
        store = brought(material.store, Path(about.home))
        prepared = replace(prepared, material=replace(material, store=store))
    return prepared, about


def _given_up(
    error: BaseException, prepared: Prepared, home: Home, options: UpOptions, change: Change
) -> BaseException:
    """Undo a first `up` that has failed, unless it is to be retained; returns what is to be raised.

    A failed update stops where it is, and the next `up` continues from there; another command that has taken the
    environment over decides what becomes of it.
    """
    if prepared.observed.nodes or not change.is_held:
        return error
    name = prepared.cluster.name
    if options.retain:
        change.tell(Notice(f"{name} is kept as it is; `provision down {name}` removes it"))
        return error
    if not isinstance(error, KeyboardInterrupt | Interrupted):
        options.before_undoing()
    change.roll_back()
    return undone(error, lambda: _roll_back(prepared, home, change.tell), name)


def _note_place(prepared: Prepared, home: Home) -> None:
    """Let the home know where the environment is, before anything of it is there."""
    if not home.ports.place_of(prepared.cluster.name):
        home.ports.note_place(prepared.cluster.name, prepared.runtime.place)


def _keep_secrets(prepared: Prepared) -> None:
    if prepared.material.files:
        note_where(prepared.material.store, prepared.runtime.place, prepared.cluster.storage.directory)
        prepared.material.keep()


def _forget_former(prepared: Prepared, home: Home) -> None:
    """Remove secrets from a home to which the environment does not belong any more, and those that nobody needs now.

    They belong to nodes and users that are not there any more, or to another security, which nodes had and clients used
    until it was closed. What the environment of another engine uses too stays.
    """
    former = secrets_of(prepared.cluster.name, prepared.observed.about, home, prepared.runtime.place)
    if former.directory != prepared.material.store.directory:
        forget_at(former, prepared.runtime.place)
    material, place = prepared.material, prepared.runtime.place
    places = Where.of(material.store).places
    if place in places and not material.files:
        forget_at(material.store, place)
    elif places == [place]:
        material.forget_others()


def _going_on(
    source: Source,
    runtimes: Runtimes,
    prepared: Prepared,
    options: UpOptions,
    error: PortTaken | NodeFailed,
    tell: Listener,
) -> Prepared:
    """What is to be done instead, once: after a node has stopped, or a port has turned out to be taken.

    Raises:
        ProvisionError: the error, if it is about something else, or a port that was not chosen here.
    """
    if not options.saved and (stopped := _stopped_meanwhile(prepared, error)):  # a saved plan does not have its start
        tell(Notice(f"{stopped} has stopped meanwhile; {prepared.cluster.name} is planned again, with its start"))
        return prepare(source, runtimes, options.planning, tell=tell)
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
    return prepare(source, runtimes, replace(options.planning, taken=frozenset(taken.values())))


def _stopped_meanwhile(prepared: Prepared, error: PortTaken | NodeFailed) -> str:
    """The node that ran when it was looked at, and was stopped since; a command that was killed may have begun to."""
    there = prepared.observed.node(error.node) if isinstance(error, NodeFailed) and error.stopped else None
    return there.name if there and there.is_alive else ""


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
    _keep_secrets(prepared)
    work = NodeWork(cluster, runtime, Roller(runtime, cluster.name, len(cluster.zookeepers), patience, tell), tell)
    known = Known(prepared.plan, prepared.observed, prepared.inside if prepared.holds else None)
    leavers = leaving(cluster, prepared.observed)
    nodes = [*(node.name for node in cluster.nodes), *(node.name for node in leavers)]
    wait = Wait(runtime, cluster.name, nodes, patience, tell, began=began)
    if prepared.inside and (ahead := prepared.plan_until(options.until).ahead):
        target = target_of(cluster, prepared.observed, home)
        apply_resources(ahead, prepared.inside, Work(target, patience, wait.check_exits, tell), earlier=False)
    apply_nodes(first_wave, work)
    if not prepared.holds or options.until < Level.TOPICS:
        assessment = wait.until(min(options.until, Level.BROKERS), cluster.topic_names)
    changed = bool(first_wave)
    if first_wave and not prepared.is_new and (settings := _settings_left(prepared)):
        late = Plan(cluster.name, settings)
        tell(Planned(late.as_dict()))
        agree(late)
        apply_nodes(settings, work)
    if options.until >= Level.TOPICS:
        changed |= converge(known, prepared.desired, work, wait, home, agree)
        assessment = wait.until(Level.TOPICS, cluster.topic_names)
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
        store = prepared.material.store
        if prepared.is_new or store != secrets_of(name, prepared.observed.about, home, prepared.runtime.place):
            forget_at(store, prepared.runtime.place)
        if removed:
            tell(Notice(f"what was created of {name} is removed again"))
        left = prepared.runtime.observe(name)
        if prepared.observed.about not in (None, left.about) and not left.is_absent:
            prepared.runtime.write_about(name, prepared.observed.about)
        if left.is_absent:
            home.seeds(name).forget_all()
            home.ports.forget_place(name)
        if grown := sorted(left.storages - prepared.observed.storages):
            tell(Notice(f"the data of {', '.join(grown)} stay: some may have moved there from the kept ones"))
