"""The stages up to the plan: all that is known before anything is changed.

    load → choose a runtime → resolve → render → observe → plan

`up` in `pipeline.py` continues from there.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from provision.catalogue.versions import KRAFT
from provision.cluster.identity import Identities
from provision.cluster.layout import Layout, automatic_ports
from provision.cluster.model import Cluster, RenderedFile, Role
from provision.cluster.resolve import resolve, resolve_without_ports
from provision.cluster.secured import kept_in_the_cluster, secret_files, with_contents, with_kept
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import NodeGone
from provision.events import Listener, Notice, StageDone, silent
from provision.home.place import Home
from provision.kafka.levels import Level
from provision.observe.cluster_id import cluster_id_for
from provision.observe.ensemble import files_of_change, issued_before
from provision.observe.files import files_of
from provision.observe.nodes import observe_details, observe_nodes
from provision.observe.survivors import survivors_of
from provision.operations.files import require_nodes
from provision.operations.ports import named_ports, ports_in_use, situation
from provision.operations.remove import finish_removal
from provision.operations.securing import material_of, require_rotated, warnings_of
from provision.operations.storage import require_storage_apart
from provision.operations.whose import about_it, require_same_file
from provision.plan.actions import Action, Impact, Plan
from provision.plan.closing import one_after_the_other, stages_of_closing
from provision.plan.departing import refuse_departures, require_known, unknown_engines
from provision.plan.engines import NOBODY, Departures, departures
from provision.plan.former import Former, former, needs_a_look
from provision.plan.hindrances import refusals as refusals_of_change
from provision.plan.listing import listed
from provision.plan.nodes import plan_nodes
from provision.plan.observed import ObservedEnvironment
from provision.plan.phases import Phase, Stage
from provision.plan.refusals import leaving, leftovers
from provision.plan.saved import SavedPlan, saved
from provision.plan.securing import Resecuring
from provision.plan.upgrade import stages_of
from provision.resources.registry import Resources, desired_resources
from provision.resources.rounds import (
    Inside,
    fingerprint,
    in_order,
    left_alone,
    plan_resources,
)
from provision.resources.users import with_passwords
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.runtime.directories import has_data
from provision.security.listening import INTERNAL, is_second, lease_name, second_lease
from provision.security.material import Material, Rotation
from provision.software.frozen import require_pinned_nodes, require_pins_match
from provision.spec.listeners import secured_as, security_of
from provision.spec.model import EnvironmentSpec
from provision.spec.source import Source

_CHANGING_S, _PAUSE_S = 5.0, 0.3


class PlanOptions(Struct, frozen=True):
    """How a file is taken to its plan."""

    lease: bool = False
    """Record automatic ports, and fetch missing locked software, which `up` wants and `plan` does not."""
    frozen: bool = False
    """Only if the software is what the lock records."""
    taken: frozenset[int] = frozenset()
    """Automatic ports that others must replace."""
    take_over: bool = False
    """Use also an environment that was made from another file."""
    rotation: Rotation | None = None
    """A step to another authority of its certificates."""
    give_up: tuple[str, ...] = ()
    """Engines that are gone for good."""


DEFAULTS = PlanOptions()


class Prepared(Struct, frozen=True):
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
    material: Material
    """The keys and certificates that its nodes need; new ones are not written yet."""
    leased: frozenset[str] = frozenset()
    """The names under which this command has leased ports, which a rollback releases."""
    temporary: frozenset[str] = frozenset()
    """The names of the ports that are needed no longer once the plan has been carried out."""

    @property
    def files(self) -> tuple[RenderedFile, ...]:
        """The files that the nodes have after the last phase."""
        return self.phases[-1].files

    @property
    def is_new(self) -> bool:
        """Whether nothing of it is there, nor data from before, in which Kafka keeps settings of its own."""
        return self.observed.is_absent and not self.had_data

    def plan_until(self, level: Level) -> Plan:
        """The part of the plan that is carried out if `up` only has to reach this level."""
        return self.plan if level >= Level.TOPICS else Plan(self.cluster.name, self.plan.first_wave)

    @property
    def topics_unknown(self) -> bool:
        """Whether the plan leaves topics out, because not every node is running and answering."""
        return self.inside is None and bool(self.observed.nodes) and not self.plan.refusals

    @property
    def topics_assumed(self) -> bool:
        """Whether the plan takes topics for new because nothing runs, although data that were kept may have them."""
        return self.inside is None and not self.observed.nodes and not (self.is_new or self.plan.refusals)

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
        resources = fingerprint(self.desired, self.inside)
        return saved(self.plan, self.files, self.observed, cluster_id, resources, self.material.given)


def prepare(
    source: Source,
    runtimes: Runtimes,
    options: PlanOptions = DEFAULTS,
    *,
    tell: Listener = silent,
    hold: Callable[[Runtime], None] = lambda _runtime: None,
) -> Prepared:
    """Take a file to its plan. `hold` claims the environment in its runtime before anything of it is looked at.

    Raises:
        NodeGone: another command has removed nodes while they were looked at, again and again for seconds.
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
    patience = Patience(_CHANGING_S)
    while True:
        try:
            return _observed_and_planned(source, spec, runtimes, runtime, layout, options=options, tell=tell)
        except NodeGone:  # another command is replacing or removing nodes
            if not patience.pause(_PAUSE_S):
                raise


def _observed_and_planned(  # noqa: PLR0913 all that is known of it
    source: Source,
    spec: EnvironmentSpec,
    runtimes: Runtimes,
    runtime: Runtime,
    layout: Layout,
    *,
    options: PlanOptions,
    tell: Listener,
) -> Prepared:
    """The stages from the first look at what there is.

    Raises:
        NodeGone: a node was removed while it was looked at.
    """
    leases = runtimes.home.ports
    before = runtime.observe(spec.name)
    require_same_file(spec.name, about_it(before), source, take_over=options.take_over, tell=tell)
    require_known(before, options.give_up)
    for text in unknown_engines(before, spec.swarm.named):
        tell(Notice(text))
    if options.lease:
        before = finish_removal(runtime, before, runtimes.home, tell)
    unleased = resolve_without_ports(spec, layout, source.base_directory)
    layout = runtime.located(layout, unleased, options.give_up)
    pinned = (
        require_pins_match(source.required_file, unleased, runtime, tell, bring=options.lease) if options.frozen else {}
    )
    assign = leases.lease if options.lease else leases.propose
    named = named_ports(spec)
    has = {**leases.of(spec.name), **ports_in_use(before, options.taken)}
    taken = options.taken | (named & {has[name] for name in automatic_ports(spec) if name in has})
    in_use = ports_in_use(before, taken)
    there = _former(spec, before, runtime)
    other = secured_as(spec, there.security) if there else None
    leased_before, names = leases.held(spec.name), layout.leased_ports(spec)
    meanwhile = _ports_meanwhile(spec, other, layout) if other else frozenset[str]()
    leasing = options.lease and bool(names or meanwhile)
    choice = situation(runtimes, runtime, before, taken, named, lease=leasing)
    ports = assign(spec.name, (*names, *sorted(meanwhile)), in_use, choice)
    leased = frozenset(ports.keys() - leased_before) if options.lease else frozenset[str]()
    try:
        cluster = resolve(spec, layout, ports, source.base_directory)
        tell(StageDone("resolve"))
        prepared = _prepare(
            cluster,
            desired_resources(spec),
            runtime,
            runtimes.home,
            pinned,
            options=options,
            tell=tell,
            change=_Change(resolve(other, layout, ports, source.base_directory), ports, there)
            if there and other
            else None,
        )
    except BaseException:
        leases.release(spec.name, leased)
        raise
    unneeded = meanwhile | set(filter(is_second, leased_before))
    return replace(prepared, leased=leased, temporary=unneeded)


class _Change(Struct, frozen=True):
    """A change of the security of running nodes: the cluster secured as it was, all ports by name, what is there."""

    before: Cluster
    ports: Mapping[str, int]
    there: Former


def _former(spec: EnvironmentSpec, observed: ObservedEnvironment, runtime: Runtime) -> Former | None:
    """How running nodes are secured that the file has secured otherwise; None if there are none."""
    wanted = security_of(spec)
    if not needs_a_look(observed, wanted):
        return None
    kafka = [node.name for node in observed.nodes if node.role != Role.ZOOKEEPER and node.needs_stop]
    return former(observed, {name: runtime.read_files(spec.name, name) for name in kafka}, wanted)


def _ports_meanwhile(spec: EnvironmentSpec, before: EnvironmentSpec, layout: Layout) -> frozenset[str]:
    """The names of the ports that are needed until the listeners have changed."""
    names = {*security_of(spec).names, *security_of(before).names, INTERNAL}
    leased = {*layout.leased_ports(spec), *layout.leased_ports(before)}
    brokers = Role.BROKER.nodes(spec.brokers.nodes)
    seconds = {
        second_lease(node, name)
        for node in brokers
        for name in names
        if name != INTERNAL or lease_name(node, name) in leased
    }
    return frozenset({*layout.leased_ports(before), *seconds} - {*layout.leased_ports(spec)})


def _prepare(  # noqa: PLR0913 all that is known of it
    cluster: Cluster,
    desired: Resources,
    runtime: Runtime,
    home: Home,
    pinned: Identities,
    *,
    options: PlanOptions,
    tell: Listener,
    change: _Change | None,
) -> Prepared:
    """Take the resolved cluster to its plan."""
    observed = observe_nodes(cluster, runtime)
    if observed.is_half_removed:  # `up` removes what is left of it first
        observed = ObservedEnvironment(cluster.name, runtime.kind, about=observed.about)
    tell(StageDone("observe", "nodes"))
    going = departures(observed, options.give_up, cluster.swarm.drained if cluster.swarm else ())
    for trouble, names in sorted(observed.waiting.items()):
        if staying := [name for name in names if name not in going.lost]:
            tell(Notice(f"{trouble}: nothing is done with {listed(staying)}"))
    if cluster.mode == KRAFT:
        cluster = replace(cluster, cluster_id=cluster_id_for(cluster, observed))
    made = material_of(cluster, observed, home, runtime, options.rotation)
    secret = secret_files(cluster, made)
    securing = _securing(cluster, change, observed, runtime, home, secret) if change else None
    upgrade, closing = stages_of(cluster, observed), _closing(cluster, observed, runtime)
    changing = securing.stages() if securing else ()
    stages = next((found for found in (changing, closing) if len(found) > 1), upgrade)
    if stages is not changing:
        securing = None
    if options.rotation is Rotation.FINISH:
        require_rotated(cluster, observed, material_of(cluster, observed, home, runtime), runtime)
    for text in warnings_of(cluster, made, options.rotation):
        tell(Notice(text))
    desired = with_passwords(desired, kept_in_the_cluster(cluster, made))
    phases = _phases(stages, secret, securing)
    tell(StageDone("render"))
    missing, details = runtime.missing_software(cluster), observe_details(cluster, phases[0].files, observed, runtime)
    there = {node.name: files_of(runtime, cluster.name, node.name) for node in leaving(cluster, observed)}
    details = replace(details, files={**details.files, **there})  # they have ports until they are gone
    tell(StageDone("observe", "files and brokers"))
    refusals = refusals_of_change(securing, phases) if securing else one_after_the_other(cluster, upgrade, closing)
    refusals = refusals or _refused_departures(cluster, phases, observed, going, options.give_up)
    first_wave = refusals or plan_nodes(
        cluster, phases, observed, missing_software=missing, details=details, leaving_engines=going
    )
    plan, inside = Plan(cluster.name, first_wave), None
    if not plan.refusals:  # a refused plan has no second wave, and brokers without their ensemble would not answer
        then = observed.without(leftovers(cluster, observed))
        second_wave, inside = plan_resources(cluster, desired, then, home)
        plan = Plan(cluster.name, in_order(first_wave, second_wave, observed))
    for text in left_alone(desired, inside):
        tell(Notice(text))
    tell(StageDone("plan", "with what the brokers have" if inside else ""))
    require_pinned_nodes(pinned, cluster, observed, plan)
    had_data = bool(cluster.storage.directory) and has_data(Path(cluster.storage.directory), cluster.name)
    return Prepared(cluster, desired, phases, runtime, observed, inside, had_data, plan, made)


def _refused_departures(
    cluster: Cluster,
    phases: Sequence[Phase],
    observed: ObservedEnvironment,
    going: Departures,
    give_up: Collection[str],
) -> tuple[Action, ...]:
    """What keeps nodes from leaving their engines, asked of those that stay."""
    survivors = survivors_of(observed) if going.names else NOBODY
    return tuple(refuse_departures(cluster, phases, observed, going, give_up, survivors))


def _closing(cluster: Cluster, observed: ObservedEnvironment, runtime: Runtime) -> tuple[Stage, ...]:
    files = files_of_change(cluster, observed, runtime)
    issued = issued_before(cluster, observed) if files and not cluster.closes_ensemble else ()
    return stages_of_closing(cluster, observed, files, issued)


def _phases(
    stages: Sequence[Stage], secret: tuple[RenderedFile, ...], securing: Resecuring | None
) -> tuple[Phase, ...]:
    """The stages with their files."""
    from provision.cluster.render import render

    def files(stage: Stage) -> tuple[RenderedFile, ...]:
        kept = securing.with_secrets(stage, secret) if securing else (*secret, *stage.kept)
        return (*render(stage.cluster), *kept)

    return tuple(Phase(files(one), one.name, one.cause, one.cluster.nodes, one.told) for one in stages)


def _securing(
    cluster: Cluster,
    change: _Change,
    observed: ObservedEnvironment,
    runtime: Runtime,
    home: Home,
    wanted: tuple[RenderedFile, ...],
) -> Resecuring:
    """The change of the security of its nodes, by the files that they have now, to those secret files."""
    before = change.before
    kept = secret_files(before, material_of(before, observed, home, runtime))
    there = {node.name: runtime.read_files(observed.name, node.name) for node in observed.nodes}
    files = with_contents(there, (*kept, *wanted, *with_kept(wanted, kept)))
    return Resecuring(cluster, before, observed, files, kept, change.ports, change.there.mixed)
