"""What a manager knows, read at once: services with their tasks, engines, networks, and what is noted in configs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from provision.common.values import replace
from provision.plan.engines import ObservedEngine, Place
from provision.plan.observed import NodeState, ObservedEnvironment, ObservedNode
from provision.runtime.docker import containers as spec
from provision.runtime.docker import found
from provision.runtime.docker.labels import checked
from provision.runtime.swarm import services
from provision.runtime.swarm.engines import READY, Engine, engines_in
from provision.runtime.swarm.notes import NAME, as_volume
from provision.runtime.swarm.records import ENGINE, IMAGE_ID, RECORD, Record, record_in
from provision.spec.swarm import SWARM

Thing = Mapping[str, Any]
_GONE = "its engine has left the swarm"


class Seen(Struct, frozen=True):
    """The answers of one manager to a few lists."""

    services: Sequence[Thing]
    tasks: Sequence[Thing]
    engines: Mapping[str, Engine]
    networks: Sequence[Thing]
    configs: Sequence[Thing]

    @classmethod
    def by(cls, api: Any) -> "Seen":  # noqa: ANN401 the SDK's client has no types
        """Ask the manager."""
        return cls(
            api.services(),
            api.tasks(),
            {engine.id: engine for engine in engines_in(api.nodes())},
            api.networks(filters={"driver": "overlay"}),
            api.configs(filters={"label": [spec.ENVIRONMENT]}),
        )

    def environment(self, name: str, wanted: Sequence[str], paused: frozenset[str]) -> ObservedEnvironment:
        """One environment; `paused` names its nodes of which an engine tells that."""
        things = found.Things(
            [_as_container(service) for service in self.services],
            [_as_network(network) for network in self.networks],
            [*self._volumes],
        )
        observed = found.environment(SWARM, name, wanted, things, partial(self._node, paused), called="service")
        engines = (ObservedEngine(one.name, one.state == READY, one.trouble) for one in self.engines.values())
        return replace(observed, engines=tuple(engines), places=self._places(name))

    def _places(self, name: str) -> Mapping[str, Place]:
        """Where the data of each node are; an engine that has left the swarm is called as it was."""
        return {
            record.node: Place(
                self.engines[record.engine].name if record.engine in self.engines else record.engine_name,
                record.volume,
                record.given_up,
            )
            for record in self.records(name)
        }

    def is_hidden(self, name: str) -> bool:
        """Whether a broker of an environment is reached only in its network."""
        own = ((one, one["Spec"].get("Labels") or {}) for one in self.services)
        brokers = (one for one, labels in own if labels.get(spec.ENVIRONMENT) == name and spec.ENDPOINT in labels)
        return not all(map(services.is_published, brokers))

    def records(self, name: str) -> Sequence[Record]:
        """The records of one environment."""
        own = (config for config in self.configs if config["Spec"]["Labels"].get(spec.ENVIRONMENT) == name)
        return [record for config in own if (record := record_in(config))]

    @property
    def names(self) -> set[str]:
        """The names of all environments that have left any trace."""
        labels = [
            *(service["Spec"].get("Labels") or {} for service in self.services),
            *(config["Spec"]["Labels"] for config in self.configs if NAME not in config["Spec"]["Labels"]),
            *(_as_network(network)["Labels"] for network in self.networks),
        ]
        return {one[spec.ENVIRONMENT] for one in labels if spec.ENVIRONMENT in one}

    @property
    def _volumes(self) -> Sequence[Thing]:
        """Notes, and nodes' volumes, by their records, as an engine would list them."""
        labels = [(config, config["Spec"]["Labels"]) for config in self.configs]
        records = [{"Name": own[RECORD], "Labels": own} for _, own in labels if RECORD in own]
        return [*map(checked, records), *(as_volume(config) for config, own in labels if NAME in own)]

    def _node(self, paused: frozenset[str], thing: Thing) -> ObservedNode:
        service, labels = thing["Service"], thing["Labels"]
        task = services.newest(self.tasks, service["ID"])
        engine = self.engines.get(service["Spec"]["Labels"].get(ENGINE, ""))
        state = services.state_of(service, task, engine_is_up=engine is not None and engine.state == READY)
        if state is NodeState.RUNNING and labels[spec.NODE] in paused:
            state = NodeState.PAUSED
        return found.node_in(
            labels,
            state,
            exit_code=services.exit_code_of(service, task) if state is NodeState.EXITED else None,
            software_id=labels.get(IMAGE_ID, ""),
            published=services.is_published(service),
            engine=engine.name if engine else "",
            waits_for=(engine.trouble if engine else _GONE) if state is NodeState.EXITED else "",
        )


def _as_container(service: Thing) -> Thing:
    """A service as an engine would list a container; whether it runs is read elsewhere."""
    labels = service["Spec"].get("Labels") or {}
    return checked({"Names": [service["Spec"]["Name"]], "Labels": labels, "State": "created", "Service": service})


def _as_network(network: Thing) -> Thing:
    """A network with its owner's label as everything else of an environment has it."""
    labels = network.get("Labels") or {}
    owner = {spec.ENVIRONMENT: labels[services.OWNER]} if services.OWNER in labels else {}
    return checked({**network, "Labels": {**labels, **owner}})
