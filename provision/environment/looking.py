"""How an environment is: its nodes, their readiness and logs, its history, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from provision.common.arguments import Texts, one_text, path, several, whole
from provision.common.patience import Patience
from provision.environment.described import Described
from provision.errors import InvalidEnvironment, ProvisionError, UsageError
from provision.events import Notice
from provision.kafka.levels import Level, required

if TYPE_CHECKING:
    from provision.cluster.model import Topic

    Topics = Texts | Iterable[Topic] | None
    from provision.home.journals import Run
    from provision.home.trainers import Trainer
    from provision.observe.readiness import Assessment
    from provision.operations.certificates import Certificate
    from provision.operations.clients import ClientConfig
    from provision.operations.doctor.examine import Diagnosis
    from provision.operations.topics import KafkaCluster
    from provision.operations.variables import Addresses
    from provision.plan.observed import ObservedEnvironment


WAIT_S = 120.0
"""The default time limit of each wait."""


def _names_of(topics: Topics) -> tuple[str, ...] | None:
    """The names of topics, of which each is given by its name or as declared."""
    from provision.cluster.model import Topic

    if topics is None:
        return None
    if not isinstance(topics, str) and isinstance(topics, Iterable):
        topics = [one.name if isinstance(one, Topic) else one for one in topics]
    return several(topics, "names of topics")


class Seen:
    """What was seen of an environment that is used `as_client`, until its nodes are changed from here."""

    observed: ObservedEnvironment | None = None


class Looking(Described):
    """The part of `Environment` that looks at it and changes nothing."""

    _is_client = False
    _seen: Seen | None = None
    """Of one that is used `as_client`, and of what it was made from."""

    def observe(self) -> ObservedEnvironment:
        """What its runtime has of the environment.

        Raises:
            UsageError: it has nothing.
        """
        from provision.operations.status import require

        if not (self._is_client and self._seen):
            return require(self.runtime, self.name)
        observed = self._seen.observed or require(self.runtime, self.name)
        self._seen.observed = observed
        return observed

    @property
    def bootstrap_servers(self) -> str:
        """The bootstrap servers for clients on this machine: `host:port`, separated by commas."""
        return (self.cluster().access if self.external_servers else self.observe()).bootstrap_servers

    def addresses(self) -> Addresses:
        """Where clients on this machine find its cluster; `variables` has them as environment variables.

        Raises:
            UsageError: it has no nodes.
        """
        from provision.operations.clients import required_listener
        from provision.operations.status import require_nodes
        from provision.operations.variables import Addresses

        if self.external_servers:
            return Addresses(self.name, self.external_servers)
        observed = require_nodes(self.runtime, self.name)
        listener = required_listener(observed, self.listener) if self.listener else ""
        return Addresses(self.name, observed.bootstrap_servers_at(listener), observed.zookeeper_connect)

    def client_variables(self) -> dict[str, str]:
        """Environment variables that tell a client how to get in as `user` at `listener`; passwords by their files.

        Raises:
            UsageError: it has no nodes or no such user or listener, or a user must be named.
        """
        from provision.operations.clients import client_variables
        from provision.operations.status import require_nodes
        from provision.operations.variables import Addresses

        self._require_own_listeners(self.user, self.listener)
        observed = require_nodes(self.runtime, self.name)
        found = client_variables(observed, self.user, self.listener)
        there = Addresses(self.name, found["KAFKA_BOOTSTRAP_SERVERS"], observed.zookeeper_connect)
        return {**there.variables, **found}

    def _require_own_listeners(self, user: str, listener: str) -> None:
        if self.external_servers and (user or listener):
            what = "a cluster that others run has no users and listeners of this file"
            raise UsageError(what, hint="leave the user and the listener out")

    def require_way_in(self) -> None:
        """Refuse, before anything is started, a `user` or `listener` that it will not have.

        Raises:
            UsageError: it will not have them, or a user must be named.
            InvalidEnvironment: as `validate`.
        """
        from provision.operations.clients import require_way_in
        from provision.operations.files import validate

        self._require_own_listeners(self.user, self.listener)
        if not self._source.only_name and not self.external_servers:
            require_way_in(validate(self._source, self._runtimes), self.user, self.listener)

    def status(self, topics: Topics = None) -> Assessment:
        """How ready it is; `topics` are those that must exist, by their names or as declared; None for whichever do."""
        from provision.operations.status import status

        return status(self.runtime, self.name, _names_of(topics))

    def wait(self, until: Level = Level.TOPICS, topics: Topics = None, *, timeout_s: float = WAIT_S) -> Assessment:
        """Wait until it reaches a readiness level; `topics` as for `status`.

        Raises:
            UsageError: `until` is no level.
            NotReady: the time limit has passed; `why` names what is missing.
            NodeFailed: a node has exited, or is gone and no command is changing the environment.
        """
        from provision.operations.changes import changed_by
        from provision.operations.status import wait_for

        def changing() -> bool:
            return changed_by(self.home, self.name, self.runtime) is not None

        patience, names = Patience(timeout_s), _names_of(topics)
        return wait_for(self.runtime, self.name, required(until), names, patience, self._tell, changing=changing)

    def others_of_file(self) -> tuple[str, ...]:
        """Environments of other names that were made from its file: under a name that it had, or with `--set`."""
        from provision.operations.whose import made_from

        found = made_from(self._source, self._runtimes.answering().values()) if self.file else ()
        return tuple(name for name in found if name != self.name)

    def history(self) -> tuple[Run, ...]:
        """Which commands have changed it, the oldest first; those of this home outlive the environment.

        As long as it is there, the last ones from other homes are among them, as far as its runtime answers.
        """
        from provision.home.journals import Journal, with_others

        name, about, killed = self.name, None, None
        try:
            about, killed = self.runtime.about(name), self.runtime.killed_holder(name)
        except ProvisionError as error:
            self._tell(Notice(f"changes from other homes are not known: {error.what}"))
        return with_others(Journal(self.home.directory, name).runs(), about, killed)

    @property
    def trainer(self) -> Trainer | None:
        """What trains archives in the background since its `up`, if something does."""
        return self.home.trainers.running(self.name)

    def examine(self) -> Diagnosis:
        """What is wrong with it, why, and what mends it; changes nothing.

        Raises:
            UsageError: there is neither a file nor an environment of that name.
        """
        from provision.operations.doctor.examine import examine

        return examine(self._source, self._runtimes)[0]

    def log_lines(self, node: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """A node's log: all of it or its last `tail` lines; `follow` continues until the node exits."""
        from provision.operations import logs

        self._require_logs([node], tail)
        if follow:
            read = partial(self.runtime.log_lines, self.name, tail=tail, follow=True)
            return (line for _, line in logs.followed([node], read))
        return self.runtime.log_lines(self.name, node, tail=tail, follow=follow)

    def logs(self, nodes: Texts, *, tail: int | None = None, follow: bool = False) -> Iterator[tuple[str, str]]:
        """The logs of several nodes in the order of time, as (node, line); arguments as for `log_lines`."""
        from provision.operations import logs

        chosen = several(nodes, "names of nodes")
        self._require_logs(chosen, tail)
        lines = partial(self.runtime.log_lines, self.name, tail=tail, follow=follow)
        return (logs.followed if follow else logs.merged)(chosen, lines)

    def _require_logs(self, nodes: Sequence[str], tail: int | None) -> None:
        from provision.operations.status import require_known

        if tail is not None:
            whole(tail, "a number of lines")
        require_known(self.observe(), nodes)

    def bundle(self, file: str | Path, *, tail: int | None = None) -> tuple[str, ...]:
        """Write all that tells of the environment's state into one archive, without secrets; also if it is broken.

        Args:
            file: the archive (`.tar.gz`), which only its owner may read; its directory is made if it is missing.
            tail: only the last lines of each log.

        Returns:
            What could not be had, each with the reason; the archive says it, too.

        Raises:
            UsageError: there is neither a file nor an environment of that name, or the archive cannot be written (then
                there is none) or would replace the file.
        """
        from provision import __version__
        from provision.operations.bundle import Contents, write_bundle

        archive = path(file, "an archive")
        if self.is_described_by(archive):
            raise UsageError(f"{archive} is the environment's own file")
        if self._source.only_name and self.runtime.observe(self.name).is_absent and not self.history():
            self.observe()  # raises
        with self._silenced():  # what is wrong is in the archive
            contents = Contents(
                name=self.name,
                version=__version__,
                runtime=lambda: self.runtime,
                status=lambda: self.status(self._valid_topics()),
                plan=None if self._source.only_name else lambda: ((made := self.plan()).plan, made.files),
                render=None if self._source.only_name else self.render,
                history=self.history,
            )
            return write_bundle(archive, contents, tail)

    def _valid_topics(self) -> Sequence[Topic] | None:
        """The topics of the file; None if there is none, or it is not valid."""
        try:
            return self.declared_topics()
        except InvalidEnvironment:
            return None

    def inside_address(self, node: str) -> str:
        """The `host:port` of a node for tools inside the environment's network.

        Raises:
            UsageError: it has no such node.
        """
        from provision.operations.status import require_known

        require_known(self.observe(), [node])
        return self.runtime.inside_address(self.name, node)

    def client_config(
        self, form: str, user: str = "", *, inside: bool = False, listener: str = "", stores: str | Path | None = None
    ) -> ClientConfig:
        """What a client needs to get in, in the form in which it reads it; `inside` the environment's network or here.

        It is over that listener, else over the first one that fits. For a Java client, keys and certificates can be
        written beside the file `stores`, as PKCS #12, in files whose names begin like its own.

        Raises:
            UsageError: there is no such form, user or listener, or a user must be named.
        """
        from provision.operations.clients import client_config
        from provision.operations.status import require_nodes

        observed = require_nodes(self.runtime, self.name)
        brokers = {node.number: self.inside_address(node.name) for node in observed.of_role("broker")}
        beside = None if stores is None else path(stores, "the file of the stores")
        return client_config(observed, form, user, brokers if inside else None, listener=listener, stores=beside)

    def certificates(self) -> list[Certificate]:
        """Its certificates: whose they are, and when they end; none without TLS."""
        from provision.operations.certificates import certificates
        from provision.operations.status import require_nodes

        return certificates(require_nodes(self.runtime, self.name))

    def export_certificates(self, directory: str | Path, user: str = "", form: str = "pem") -> list[Path]:
        """Write its authority's certificate, and a user's key and certificate; returns the files.

        Args:
            directory: where to write them.
            user: whose key and certificate.
            form: `pem`, or `pkcs12` for Java clients.
        """
        from provision.operations.certificates import export
        from provision.operations.status import require_nodes

        place = path(directory, "a directory")
        return export(require_nodes(self.runtime, self.name), place, user, form)

    def cluster(self, user: str = "", listener: str = "") -> KafkaCluster:
        """Its cluster, or the external one at its file's `bootstrap_servers`.

        Args:
            user: as who gets in; by default the attribute `user`.
            listener: over which listener; by default the attribute `listener`.
        """
        from provision.operations.topics import cluster_at, cluster_of

        user, listener = one_text(user or self.user, "a user"), one_text(listener or self.listener, "a listener")
        self._require_own_listeners(user, listener)
        if address := self.external_servers:
            return cluster_at(self.name, address)
        return cluster_of(self.runtime, self.observe(), user, listener)
