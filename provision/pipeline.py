"""The stages in order. Read this first.

    load → resolve → render → observe → plan → apply → observe

`prepare` takes a file through the first five stages and touches nothing; stopping there is what a dry run is. `up` goes
on: the first wave of the plan is applied, the brokers are waited for, what lives inside Kafka is planned and applied,
and the environment is observed until it holds the level that was asked for.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from provision.apply import apply_nodes, apply_topics, require_no_refusal
from provision.cluster.fingerprint import config_hash
from provision.cluster.layout import Layout
from provision.cluster.model import Cluster, RenderedFile
from provision.cluster.resolve import fixed_ports, resolve
from provision.errors import PartlyApplied, ProvisionError
from provision.events import Listener, Notice, silent
from provision.home.directory import home_directory
from provision.home.ports import PortLeases
from provision.interrupts import shielded
from provision.kafka.levels import Level
from provision.operations import ADMIN_TIMEOUT_S, remove_environment
from provision.plan.actions import Action, Kind, Plan
from provision.plan.nodes import plan_nodes
from provision.plan.observed import NodeState, ObservedEnvironment
from provision.plan.topics import plan_topics, plan_topics_of_new
from provision.runtime import choose_runtime, layout_for
from provision.runtime.base import Runtime
from provision.runtime.directories import has_data
from provision.spec.loader import load
from provision.spec.model import EnvironmentSpec
from provision.waiting import Assessment, Wait

NODE_KINDS = (Kind.SOFTWARE, Kind.NETWORK, Kind.STORAGE, Kind.NODE, Kind.FOREIGN)


@dataclass(frozen=True, slots=True)
class Source:
    """An environment file and the `--set` texts for it."""

    file: Path
    overrides: tuple[str, ...] = ()

    def load(self) -> EnvironmentSpec:
        """Stage one."""
        return load(self.file, self.overrides)

    def layout(self, spec: EnvironmentSpec, runtime: str) -> Layout:
        """Where that kind of runtime puts things; `auto` is shown as Docker would have it."""
        return layout_for("docker" if runtime == "auto" else runtime, spec, self._base_directory)

    def resolve(self, spec: EnvironmentSpec, layout: Layout, ports: Mapping[str, int]) -> Cluster:
        """Stage two."""
        return resolve(spec, layout, ports, self._base_directory)

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
    had_data: bool
    """Whether a storage directory of the user's has data of an earlier life, which a rollback must not touch."""
    plan: Plan


@dataclass(frozen=True, slots=True)
class Upped:
    """What `up` reached: `changed` tells whether it did anything, `timings` are seconds by level."""

    assessment: Assessment
    changed: bool
    timings: Mapping[str, float] = field(default_factory=dict)


def validate(source: Source) -> Cluster:
    """Load and resolve only: no network, no engine, no templates.

    Raises:
        InvalidEnvironment: with every problem of the file.
    """
    spec = source.load()
    layout = source.layout(spec, spec.runtime)
    return source.resolve(spec, layout, dict.fromkeys(layout.leased_ports(spec), 0))


def render(source: Source) -> tuple[RenderedFile, ...]:
    """The configuration files of every node, with the ports that `up` would choose now."""
    from provision.cluster.render import render as render_files

    spec = source.load()
    layout = source.layout(spec, spec.runtime)
    ports = PortLeases(home_directory()).propose(spec.name, layout.leased_ports(spec), {})
    return render_files(source.resolve(spec, layout, ports))


def prepare(source: Source, *, lease: bool = False, tell: Listener = silent) -> Prepared:
    """From the file to the plan. `lease` records automatic ports, which `up` wants and `plan` does not."""
    spec = source.load()
    runtime = choose_runtime(spec.runtime, spec.name, tell)
    if spec.kafka.image and runtime.kind == "process":
        tell(Notice("kafka.image is not used by plain processes"))
    layout = source.layout(spec, runtime.kind)
    leases = PortLeases(home_directory())
    before = runtime.observe(spec.name)
    assign = leases.lease if lease else leases.propose
    in_use = {**fixed_ports(spec), **_ports_in_use(before)}
    ports = assign(spec.name, layout.leased_ports(spec), in_use)
    try:
        return _prepare(source.resolve(spec, layout, ports), runtime)
    except BaseException:
        if lease and before.is_nothing:
            leases.release(spec.name)
        raise


def _prepare(cluster: Cluster, runtime: Runtime) -> Prepared:
    """From the resolved cluster on."""
    from provision.cluster.render import render as render_files

    files = render_files(cluster)
    observed = runtime.observe(cluster.name, [node.name for node in cluster.nodes])
    changed = [node.name for node in observed.nodes if node.config_hash != config_hash(node.name, files)]
    first_wave = plan_nodes(
        cluster,
        files,
        observed,
        software_present=runtime.has_software(cluster),
        observed_files={name: runtime.read_files(cluster.name, name) for name in changed},
    )
    plan = Plan(cluster.name, first_wave)
    if not plan.refusals or observed.nodes:  # a creation that is refused has no second wave
        plan = Plan(cluster.name, (*first_wave, *_plan_kafka(cluster, observed)))
    had_data = bool(cluster.storage.directory) and has_data(Path(cluster.storage.directory), cluster.name)
    return Prepared(cluster, files, runtime, observed, had_data, plan)


def up(
    source: Source,
    *,
    timeout_s: float = 120.0,
    until: Level = Level.TOPICS,
    retain: bool = False,
    tell: Listener = silent,
    on_plan: Callable[[Plan], None] = lambda _plan: None,
) -> Upped:
    """Create the environment, or make it what the file says, and wait until it holds `until`.

    Args:
        source: the file.
        timeout_s: bounds the waiting, from the first node's start on.
        until: the level to wait for.
        retain: keep what a failing first `up` made.
        tell: gets the events.
        on_plan: is shown the plan before it is applied.

    Raises:
        Refused: the plan has a refusal; nothing was touched.
        ProvisionError: anything else; a first `up` has removed what it made, unless `retain`.
    """
    prepared = prepare(source, lease=True, tell=tell)
    try:
        on_plan(prepared.plan)
        require_no_refusal(prepared.plan)
        return _bring_up(prepared, timeout_s, until, tell)
    except BaseException as error:
        if prepared.observed.nodes:  # an update that fails stops where it stands, and the next `up` goes on from there
            raise
        _roll_back(prepared, retain=retain, tell=tell)
        if isinstance(error, PartlyApplied) and not retain:
            raise ProvisionError(error.what, why=error.why, hint=error.hint) from error
        raise


def _bring_up(prepared: Prepared, timeout_s: float, until: Level, tell: Listener) -> Upped:
    cluster, runtime = prepared.cluster, prepared.runtime
    began = time.monotonic()
    first_wave = prepared.plan.of_kinds(NODE_KINDS)
    apply_nodes(first_wave, cluster, prepared.files, runtime, tell)
    nodes = [node.name for node in cluster.nodes]
    wait = Wait(runtime, cluster.name, nodes, began=began, deadline=time.monotonic() + timeout_s, tell=tell)
    assessment = wait.until(min(until, Level.BROKERS), cluster.topics)
    second_wave: tuple[Action, ...] = ()
    if until >= Level.TOPICS:
        second_wave = _plan_kafka(cluster, runtime.observe(cluster.name))
        require_no_refusal(Plan(cluster.name, second_wave))
        existing = apply_topics(second_wave, cluster.bootstrap_servers, ADMIN_TIMEOUT_S, tell)
        assessment = wait.until(until, cluster.topics)
        if existing:  # a broker that has just come back did not know them yet: compare them now
            require_no_refusal(Plan(cluster.name, _plan_kafka(cluster, runtime.observe(cluster.name))))
            second_wave = tuple(action for action in second_wave if action.name not in existing)
    return Upped(assessment, bool(first_wave or second_wave), wait.timings)


def _plan_kafka(cluster: Cluster, observed: ObservedEnvironment) -> tuple[Action, ...]:
    """The second wave, against the brokers where all of them answer.

    Before there are brokers it is planned against an empty cluster. While nodes are missing or still on their way
    nothing can be said: `up` plans again when they are there.
    """
    from provision.kafka.admin import connected
    from provision.kafka.readiness import ask_brokers, missing_for_brokers

    if not observed.of_role("broker"):
        return plan_topics_of_new(cluster)
    states = {node.name: node.state for node in observed.nodes}
    if any(states.get(node.name) is not NodeState.RUNNING for node in cluster.nodes):
        return ()
    answers = ask_brokers(observed.broker_endpoints)
    there = answers.best
    if there is None or missing_for_brokers(answers):
        return ()
    declared = {topic.name for topic in cluster.topics}
    existing = [topic for topic in there.topics if topic.name in declared]
    others = [topic for topic in there.topics if topic.name not in declared]
    if existing:
        with connected(observed.bootstrap_servers, ADMIN_TIMEOUT_S) as admin:
            existing = list(admin.with_configs(existing))
    return plan_topics(cluster.topics, there.brokers, (*existing, *others))


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
