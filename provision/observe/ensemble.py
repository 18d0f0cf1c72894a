"""How the ZooKeeper nodes of an environment are reached: closed ones only with a certificate of their authority's."""

from msgspec import Struct

from provision.catalogue.versions import ZOOKEEPER
from provision.cluster.model import Cluster, RenderedFile, Role
from provision.cluster.secured import ensemble_files, nodes_of_ensemble
from provision.errors import Unavailable
from provision.home.secrets import known_secrets
from provision.kafka.zookeeper import Keys
from provision.observe.reach import security_of_nodes
from provision.plan.observed import ObservedEnvironment
from provision.runtime.base import Runtime
from provision.security.ensemble import KEYSTORE, PREFIX, TRUSTSTORE, closes
from provision.security.material import AUTHORITY, ensemble_certificates
from provision.security.profiles import ITSELF

Files = tuple[RenderedFile, ...]


class Way(Struct, frozen=True):
    """Whether ZooKeeper is closed, and what lets us in then; None if that is not on this machine.

    There may be keys although it is open: it was closed before, and some of its nodes may still be.
    """

    closed: bool = False
    keys: Keys | None = None

    @property
    def is_ours(self) -> bool:
        """Whether we get in from this machine."""
        return not self.closed or self.keys is not None


def way_to(observed: ObservedEnvironment) -> Way:
    """The way to its ZooKeeper nodes.

    Those of a secured environment are closed, but for one that was made secure before they could be and has no keys for
    them yet. While they are being closed, or opened again, some are and some are not.
    """
    closed = closes(security_of_nodes(observed))
    if observed.mode != ZOOKEEPER or not (closed or _has_keys(observed)):
        return Way()
    store = known_secrets(observed.name, observed.about)
    if store is None or not store.is_there:
        return Way(closed)
    authorities = store.path(f"{PREFIX}{AUTHORITY}")
    if not authorities.exists():
        return Way()
    return Way(closed, Keys(str(authorities), str(store.path(f"{PREFIX}{ITSELF}.pem"))))


def files_of_change(cluster: Cluster, observed: ObservedEnvironment, runtime: Runtime) -> dict[str, Files]:
    """The present files of ZooKeeper nodes and brokers, by node, if ZooKeeper is to be closed and runs open.

    Also if it is to be open and may run closed, which is seen from what is kept for it.
    """

    def read(role: Role) -> dict[str, Files]:
        there = [node.name for node in observed.of_role(role) if node.needs_stop]
        return {name: runtime.read_files(observed.name, name) for name in there}

    if not cluster.closes_ensemble:
        return read(Role.ZOOKEEPER) | read(Role.BROKER) if cluster.zookeepers and _has_keys(observed) else {}
    from provision.plan.closing import is_running_open

    members = read(Role.ZOOKEEPER)
    all_run = all(node.name in members for node in cluster.zookeepers)
    files = members if all_run and not is_running_open(observed, members) else members | read(Role.BROKER)
    return files if is_running_open(observed, files) else {}


def issued_before(cluster: Cluster, observed: ObservedEnvironment) -> tuple[RenderedFile, ...]:
    """The files by which nodes of one that is to be open get in while it is still closed.

    Raises:
        Unavailable: the authority that is kept is damaged.
    """
    store = known_secrets(observed.name, observed.about)
    return ensemble_files(cluster, ensemble_certificates(store, nodes_of_ensemble(cluster))) if store else ()


def _has_keys(observed: ObservedEnvironment) -> bool:
    store = known_secrets(observed.name, observed.about)
    return store is not None and f"{PREFIX}{AUTHORITY}" in store.names


def secrets_for_tools(observed: ObservedEnvironment) -> dict[str, bytes]:
    """The files with which one of Kafka's own tools gets into ZooKeeper; none if it is open.

    Raises:
        Unavailable: they are not on this machine.
    """
    if not way_to(observed).closed:
        return {}
    store = known_secrets(observed.name, observed.about)
    own = store.read(f"{PREFIX}{ITSELF}.pem") if store else None
    trusted = store.read(f"{PREFIX}{AUTHORITY}") if store else None
    if not own or not trusted:
        where = f"{observed.about.home} on {observed.about.host}" if observed.about else ""
        raise Unavailable(f"what ZooKeeper lets us in with is in {where}, not here")
    return {KEYSTORE: own, TRUSTSTORE: trusted}
