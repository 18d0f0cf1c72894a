"""Gather the facts about an environment once, side by side and with a time limit.

Whatever is broken, this comes to an end and raises nothing but what the user did wrong: a fact that cannot be asked is
`Unasked`, with the reason.
"""

import importlib
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from msgspec import Struct

from provision.catalogue.versions import KRAFT
from provision.cluster.model import Cluster, Role
from provision.cluster.resolve import fixed_ports
from provision.common.patience import Patience
from provision.common.values import replace
from provision.errors import InvalidEnvironment, ProvisionError, StorageLost, Unavailable
from provision.home.holders import Holder
from provision.home.place import Home
from provision.home.ports import PortState, port_state
from provision.kafka.failures import LOG_LINES
from provision.kafka.quorum import ask_for_quorum
from provision.kafka.readiness import BrokerAnswers, ask_brokers
from provision.observe.files import files_of
from provision.observe.leaders import ensemble_modes
from provision.observe.reach import access_to
from provision.observe.readiness import assess
from provision.operations.certificates import Certificate, certificates
from provision.operations.changes import changed_by
from provision.operations.doctor.facts import Arrival, Damage, Facts, Inside, NodeFacts, Unasked, known
from provision.operations.doctor.moving import arrivals
from provision.operations.doctor.reachability import Reach, advertised, asked_from_here, matrix
from provision.operations.doctor.rendering import orphans, rendered
from provision.operations.files import validate
from provision.plan.observed import NodeState, ObservedEnvironment
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.runtime.health import Asker
from provision.runtime.process.vitals import holder_of
from provision.spec.source import Source
from provision.spec.swarm import SWARM

STEP_S = 20.0
"""How long each of the steps may take; the facts that are not there by then are left out."""
_ADMIN_S = 5.0
# Of the client library and what uses it: its modules import each other in a circle, which several threads at once would
# trip over.
_LOADED_FIRST = (
    "kafka",
    "kafka.protocol.parser",
    "kafka.protocol.metadata",
    "provision.kafka.admin",
    "provision.kafka.brokers",
)
_PATIENT_S = 10.0

T = TypeVar("T")


def side_by_side(asks: Mapping[str, Callable[[], Any]], limit_s: float = STEP_S) -> dict[str, Any]:
    """What all of them return, by name, or `Unasked` with the reason; nothing is waited for longer than the limit."""
    answers: dict[str, Any] = {}

    def one(name: str, ask: Callable[[], Any]) -> None:
        try:
            answers[name] = ask()
        except ProvisionError as error:
            why = ": ".join(filter(None, (error.what, error.why.replace("\n", "; "))))
            answers[name] = Unasked(why, error.hint if isinstance(error, StorageLost) else "")
        except Exception as error:  # noqa: BLE001 whatever a broken thing answers, the other facts are told with it
            answers[name] = Unasked(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=one, args=item, daemon=True) for item in asks.items()]
    patience = Patience(limit_s)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience.left_s)
    late = Unasked(f"there was no answer within {patience.given}")
    return {name: answers.get(name, late) for name in asks}


class Held(Struct, frozen=True):
    """The runtime that has an environment, or would have it, and what it has; `engine` is why Docker is not asked."""

    runtime: Runtime | None
    observed: ObservedEnvironment | Unasked
    engine: Unasked | None = None


def find(name: str, kind: str, wanted: Sequence[str], runtimes: Runtimes) -> Held:
    """Find the runtime of an environment.

    Args:
        name: the environment.
        kind: the runtime that its file asks for, or `auto`.
        wanted: the nodes that its file describes.
        runtimes: where it may be.
    """
    kinds = ["process", "docker", *([SWARM] if kind == SWARM or runtimes.has_swarm else [])]
    asks = {one: partial(lambda one: _observed(runtimes.of_kind(one), name, wanted), one) for one in kinds}
    found = side_by_side(asks)
    engine = found["docker"] if isinstance(found["docker"], Unasked) else None
    for one in kinds if kind == "auto" else (kind, *kinds):
        observed = found[one]
        if not isinstance(observed, Unasked) and not observed.is_absent:
            return Held(runtimes.of_kind(one), observed, engine)
    chosen = kind if kind != "auto" else "process" if engine else "docker"
    runtime = None if isinstance(found[chosen], Unasked) and chosen != "process" else runtimes.of_kind(chosen)
    return Held(runtime, found[chosen], engine)


def _observed(runtime: Runtime, name: str, wanted: Sequence[str]) -> ObservedEnvironment:
    return runtime.observe(name, wanted)


def gather(source: Source, runtimes: Runtimes) -> tuple[Facts, Runtime | None]:
    """All that can be asked about an environment, and the runtime that has it or would have it.

    Raises:
        UsageError: no environment can have the name that the source gives.
    """
    for module in _LOADED_FIRST:  # threads that load what depends on each other at the same time may end in a deadlock
        importlib.import_module(module)
    cluster, problems, kind = _described(source, runtimes)
    wanted = [node.name for node in cluster.nodes] if cluster else []
    held = find(source.name, kind, wanted, runtimes)
    facts = Facts(
        source.name,
        held.observed,
        None if source.only_name else source,
        cluster,
        problems.problems if problems else (),
        held.engine,
    )
    facts = replace(facts, changing=_changing(facts.name, held.runtime, runtimes))
    observed = known(held.observed)
    if held.runtime is None or observed is None:
        return facts, held.runtime
    facts = _with_nodes(facts, held.runtime, observed)
    if facts.source and cluster:
        asks = {
            "rendered": partial(rendered, facts.source, runtimes, held.runtime, observed),
            "orphans": partial(orphans, cluster, observed),
        }
        meant = side_by_side(cast("Mapping[str, Callable[[], Any]]", asks))
        facts = replace(facts, rendered=meant["rendered"], nodes={**facts.nodes, **(known(meant["orphans"]) or {})})
    around = known(facts.surroundings)
    return replace(
        facts,
        taken_ports=_taken_ports(facts, observed),
        damaged=_damaged(facts.name, runtimes.home, around.damaged if around else {}),
    ), held.runtime


def _damaged(name: str, home: Home, of_runtime: Mapping[str, str]) -> dict[str, Damage]:
    """The notes that cannot be read, by their places: those of the runtime, and those of the home."""
    rewritten = f"provision up {name}, which writes it again"
    found = {place: Damage(why, rewritten) for place, why in of_runtime.items()}
    for notes in home.notes(name):
        found |= {place: Damage(why, notes.damage_hint) for place, why in notes.damaged().items()}
    return found


def _changing(name: str, runtime: Runtime | None, runtimes: Runtimes) -> Holder | Unasked | None:
    found: Holder | Unasked | None = side_by_side({"": partial(changed_by, runtimes.home, name, runtime)})[""]
    return found


def _described(source: Source, runtimes: Runtimes) -> tuple[Cluster | None, InvalidEnvironment | None, str]:
    """What the file means, what is wrong with it, and the runtime that it asks for."""
    if source.only_name:
        return None, None, "auto"
    try:
        kind = source.load().runtime
        return validate(source, runtimes), None, kind
    except InvalidEnvironment as error:
        return None, error, "auto"


def _with_nodes(facts: Facts, runtime: Runtime, observed: ObservedEnvironment) -> Facts:
    name, names = observed.name, [*(node.name for node in observed.nodes), *observed.gone]
    there = [node.name for node in observed.nodes]
    down = [one for one in names if (node := observed.node(one)) is None or node.state is not NodeState.RUNNING]
    asks: dict[str, Callable[[], Any]] = {
        "machine": runtime.machine,
        "surroundings": partial(runtime.surroundings, name),
        "certificates": partial(_certificates, observed),
        **{f"log {one}": partial(_log, runtime, name, one) for one in there},
        **{f"files {one}": partial(files_of, runtime, name, one) for one in there},
        **{f"vitals {one}": partial(runtime.vitals, name, one) for one in there},
        **{f"stored {one}": partial(runtime.read_storage, name, one) for one in down if one in observed.kept},
        "assessment": partial(assess, runtime, observed, None, nodes=names, ask_inside=True),
        **_asks_inside(runtime, observed),
    }
    for module in _LOADED_FIRST:
        importlib.import_module(module)
    found = side_by_side(asks)
    nodes = {
        one: NodeFacts(
            one,
            **{
                kind: found[f"{kind} {one}"] for kind in ("log", "files", "vitals", "stored") if f"{kind} {one}" in asks
            },
        )
        for one in names
    }
    fields = ("answers", "quorum", "modes", "settings", "defaults", "topics", "moves")
    inside = Inside(**{one: found[one] for one in fields if one in asks})
    later = side_by_side(_second_look(runtime, observed, nodes, inside))
    return replace(
        facts,
        observed=replace(observed, stored={one: data for one, each in nodes.items() if (data := known(each.stored))}),
        machine=found["machine"],
        assessment=found["assessment"],
        certificates=found["certificates"],
        surroundings=found["surroundings"],
        nodes=nodes,
        inside=replace(inside, slow=later["slow"], arrivals=later["arrivals"]),
        reachability=later["reachability"],
    )


def _taken_ports(facts: Facts, observed: ObservedEnvironment) -> dict[str, tuple[int, str]]:
    """The ports that nodes need to start and somebody else has, by node; in a network of their own nobody can."""
    if observed.proxy:
        return {}
    machine, around = known(facts.machine), known(facts.surroundings)
    wanted = {one: port for n in observed.nodes if not n.needs_stop for one, port in n.host_ports.items()}
    if not observed.nodes and facts.cluster and facts.source:
        wanted = fixed_ports(facts.source.load())
    published = around.published if around else {}
    taken = {}
    for name, port in wanted.items():
        node = name.partition("/")[0]
        if port in published:
            taken[node] = (port, f"the container {published[port]}")
        elif (machine is None or machine.is_here) and port_state(port) is PortState.TAKEN:
            taken[node] = (port, holder_of(port))
    return taken


def _certificates(observed: ObservedEnvironment) -> tuple[Certificate, ...]:
    return tuple(certificates(observed))


def _log(runtime: Runtime, name: str, node: str) -> tuple[str, ...]:
    return tuple(runtime.log_lines(name, node, tail=LOG_LINES))


def _asks_inside(runtime: Runtime, observed: ObservedEnvironment) -> dict[str, Callable[[], Any]]:
    access = access_to(observed)
    asks: dict[str, Callable[[], Any]] = {"answers": partial(ask_brokers, access)}
    if observed.mode == KRAFT:
        asks["quorum"] = partial(ask_for_quorum, access)
    if observed.of_role(Role.ZOOKEEPER):
        asks["modes"] = partial(ensemble_modes, runtime, observed)
    for what in ("settings", "defaults", "topics", "moves") if access.brokers else ():
        asks[what] = partial(_through_admin, observed, what)
    return asks


def _through_admin(observed: ObservedEnvironment, what: str) -> object:
    """What only the admin client asks: dynamic settings of brokers, settings of topics, or reassignments."""
    from provision.kafka.admin import connected
    from provision.kafka.brokers import dynamic_overrides

    access = access_to(observed)
    answers = ask_brokers(access)
    if answers.best is None:
        raise Unavailable("no broker answers")
    answering = {broker: access.brokers[broker] for broker in answers.clusters}
    with connected(access.to(answering), _ADMIN_S) as admin:
        if what == "moves":
            return admin.partitions.moves()
        if what == "topics":
            return admin.topics.with_settings(answers.best.topics)
        if what == "defaults":
            return admin.brokers.defaults(min(answering))
        registered = {broker.id for broker in answers.best.brokers} & answering.keys()
        entries = admin.brokers.settings(sorted(registered))
        return {broker: dynamic_overrides(found) for broker, found in entries.items()}


def _second_look(
    runtime: Runtime, observed: ObservedEnvironment, nodes: Mapping[str, NodeFacts], inside: Inside
) -> dict[str, Callable[[], Any]]:
    """What is asked once the rest is known: silent brokers again, and the addresses."""
    return {
        "slow": partial(_ask_again, observed, nodes, known(inside.answers)),
        "arrivals": partial(_arrivals, observed, inside),
        "reachability": partial(_reachability, runtime, observed, nodes, inside),
    }


def _ask_again(
    observed: ObservedEnvironment, nodes: Mapping[str, NodeFacts], answers: BrokerAnswers | None
) -> Mapping[int, str]:
    """Ask those that were silent again, with more time: why they do not answer, or nothing if they are only slow.

    Those that a signal has stopped cannot answer.
    """
    access = access_to(observed)
    stopped = {name for name, one in nodes.items() if (vitals := known(one.vitals)) and vitals.stopped}
    silent = {
        broker: at
        for broker, at in access.brokers.items()
        if answers and broker in answers.silent and Role.BROKER.node(broker) not in stopped
    }
    again = ask_brokers(access.to(silent), _PATIENT_S, topics=False)
    return {broker: again.silent.get(broker, "") for broker in silent}


def _arrivals(observed: ObservedEnvironment, inside: Inside) -> Mapping[tuple[str, int], Arrival]:
    answers, moves = known(inside.answers), known(inside.moves)
    if not answers or not moves:
        return {}
    access = access_to(observed)
    return arrivals(access.to({b: at for b, at in access.brokers.items() if b in answers.clusters}), moves, _ADMIN_S)


def _reachability(
    runtime: Runtime, observed: ObservedEnvironment, nodes: Mapping[str, NodeFacts], inside: Inside
) -> tuple[Reach, ...]:
    told = {broker.id: broker.address for broker in (inside.cluster.brokers if inside.cluster else ())}
    asked = access_to(observed).brokers
    addresses = [
        one
        for node in observed.nodes
        if node.state is NodeState.RUNNING
        for one in advertised(
            node,
            nodes[node.name].settings,
            told.get(node.number, "") if node.role == Role.BROKER else "",
            runtime.inside_address(observed.name, node.name),
            asked.get(node.number) if node.role == Role.BROKER else None,
        )
    ]
    probes = list(dict.fromkeys(one.probe for one in addresses))
    if not probes:
        return ()
    asks = {
        Asker.HOST: partial(asked_from_here, probes),
        Asker.NETWORK: partial(runtime.ask, observed, Asker.NETWORK, probes),
        Asker.ELSEWHERE: partial(runtime.ask, observed, Asker.ELSEWHERE, probes),
    }
    found = side_by_side(cast("Mapping[str, Callable[[], Any]]", asks), STEP_S / 2)
    own_network = observed.network and runtime.kind in ("docker", SWARM)
    there = observed.nodes if runtime.kind == SWARM else ()
    names = {runtime.inside_address(observed.name, node.name).rpartition(":")[0] for node in there}
    places = {asker: known(found[asker]) for asker in asks if own_network or asker is Asker.HOST}
    return matrix(addresses, places, own_network=own_network, names=names)
