"""The environment as an object: what the command line uses, and what programs import.

It never prints, prompts, exits or changes signal handlers. It reports events to its listener, and raises failures as
the errors in `provision.errors`. Any thread may use an object, but only one at a time.

Each module has a part of the class, and each part is made on the one before: `described`, `looking`, `changing`,
`inside`, `living`, `entered`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from provision.common.arguments import Texts, one_text, several
from provision.common.values import replace
from provision.environment.described import runtimes_of
from provision.environment.entered import Entered
from provision.events import Listener, silent
from provision.home.place import Place
from provision.spec.names import is_environment_name, require_environment_name

if TYPE_CHECKING:
    from provision.operations.doctor.machine import MachineDiagnosis
    from provision.operations.gc.collector import Collector
    from provision.runtime import Runtimes


class Environment(Entered):
    """A Kafka environment: a file, or the values of one, and the cluster created from it.

    Args:
        file: an environment file; None if `values` describe the environment.
        overrides: `path.to.key=value` texts, as `--set` takes them, applied in order.
        on_event: receives the events; see `provision.events`.
        take_over: also changes and removes an environment of that name that was made from another file.
        lock_timeout_s: how long to wait for another command that is changing the environment; not at all by default.
        home: where this machine keeps leases, notes, and environments that run as processes; a directory, or None for
            the user's own (`PROVISION_HOME`).
        runtimes: connections to share with other environments; `close` leaves them open.
        values: the keys of an environment file, for example `name="orders", brokers={"nodes": 3}`.

    Its attribute `user` is whom it gets into the cluster as, to read and to write; empty for provision's own way.

    Raises:
        UsageError: there is neither a file nor a name, or both a file and values.

    Example:
        >>> from provision import Environment
        >>> environment = Environment(name="orders", runtime="process", topics=[{"name": "orders"}])
        >>> assert environment.validate().name == "orders"
    """

    @classmethod
    def from_file(cls, file: str | Path, **arguments: Any) -> Self:  # noqa: ANN401 those of the class
        """The environment of a file; `arguments` as for the class, without values."""
        return cls(file, **arguments)

    @classmethod
    def named(
        cls,
        name: str,
        *,
        on_event: Listener = silent,
        lock_timeout_s: float = 0.0,
        home: Place = None,
        runtimes: Runtimes | None = None,
    ) -> Self:
        """An existing environment, running or with kept data, by name alone; methods that need its file do not work.

        Raises:
            UsageError: the name is not valid.
        """
        found = cls(
            name=require_environment_name(one_text(name, "a name")),
            on_event=on_event,
            lock_timeout_s=lock_timeout_s,
            home=home,
            runtimes=runtimes,
        )
        found._source = replace(found._source, only_name=True)
        return found

    @classmethod
    def all(
        cls,
        *,
        on_event: Listener = silent,
        home: Place = None,
        runtimes: Runtimes | None = None,
        need_engine: bool = False,
    ) -> tuple[Self, ...]:
        """Every environment that is running or has kept data; those of an engine that does not answer are left out.

        A notice tells of such an engine.

        Raises:
            Unavailable: no engine answers, and one is needed (`need_engine`).
        """
        looking = runtimes_of(home, runtimes)
        if need_engine:
            looking.of_kind("docker")
        found = []
        for kind, runtime in looking.answering(on_event).items():
            for name in filter(is_environment_name, runtime.environments()):
                environment = cls.named(name, on_event=on_event, home=home, runtimes=runtimes)
                environment._kind = kind  # noqa: SLF001 both runtimes may have one of that name
                found.append(environment)
        if runtimes is None:
            looking.close()
        return tuple(found)

    @classmethod
    @contextmanager
    def collector(
        cls,
        *,
        older_than_s: float = 0.0,
        jobs_ended: Texts = (),
        on_event: Listener = silent,
        home: Place = None,
        runtimes: Runtimes | None = None,
    ) -> Iterator[Collector]:
        """What finds and removes what is left over in a home, and in the runtimes that answer.

        `older_than_s` leaves alone what is younger, `jobs_ended` names owners that have ended.
        """
        from provision.operations.gc.collector import Collector

        looking = runtimes_of(home, runtimes)
        try:
            yield Collector(looking, older_than_s, frozenset(several(jobs_ended, "owners of jobs")), on_event)
        finally:
            if runtimes is None:
                looking.close()

    @classmethod
    def examine_machine(cls, *, home: Place = None, runtimes: Runtimes | None = None) -> MachineDiagnosis:
        """Whether environments can run on this machine, as what, and what is wrong with it; changes nothing."""
        from provision.operations.doctor.machine import examine_machine

        looking = runtimes_of(home, runtimes)
        try:
            return examine_machine(looking)
        finally:
            if runtimes is None:
                looking.close()
