"""What an environment is: its file or values, its name, and where it is or would be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.common.arguments import Texts, path, several
from provision.environment.heard import Heard
from provision.errors import InvalidEnvironment, UsageError
from provision.events import Listener, silent
from provision.home.place import Home, Place
from provision.runtime import Runtimes
from provision.spec.source import Source

if TYPE_CHECKING:
    from provision.cluster.model import Cluster, RenderedFile, Topic
    from provision.preparing import Prepared
    from provision.runtime.base import Runtime


def runtimes_of(home: Place, runtimes: Runtimes | None) -> Runtimes:
    """The connections that are given, or others to where environments of that home run, made when they are needed.

    Raises:
        UsageError: both are given, or something else is.
    """
    if runtimes is None:
        return Runtimes(home)
    if not isinstance(runtimes, Runtimes):
        raise UsageError(f"runtimes are provision.runtime.Runtimes, not {runtimes!r}")
    if home is not None:
        raise UsageError("runtimes have a home of their own: give either runtimes or a home, not both")
    return runtimes


class Described(Heard):
    """The part of `Environment` that needs no cluster: what describes it, and what that means."""

    def __init__(  # noqa: PLR0913 what it is, and with what it works
        self,
        file: str | Path | None = None,
        *,
        overrides: Sequence[str] = (),
        on_event: Listener = silent,
        lock_timeout_s: float = 0.0,
        home: Place = None,
        runtimes: Runtimes | None = None,
        take_over: bool = False,
        **values: Any,  # noqa: ANN401 whatever the schema takes; it is checked
    ) -> None:
        self._runtimes = runtimes_of(home, runtimes)
        self._source = Source.of(file, overrides, values)
        super().__init__(on_event)
        self.take_over = take_over
        self.lock_timeout_s = lock_timeout_s
        self.user = self.listener = ""
        self._own_runtimes = runtimes is None
        self._kind: str | None = None

    def close(self) -> None:
        """Close the connections. The cluster is not touched."""
        if self._own_runtimes:
            self._runtimes.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._source.file or self.name)!r})"

    @property
    def file(self) -> Path | None:
        """The environment file, if there is one."""
        return self._source.file

    def is_described_by(self, file: str | Path) -> bool:
        """Whether that is the environment file."""
        other = path(file, "an environment's file")
        try:
            return self.file is not None and self.file.samefile(other)
        except OSError:
            return False

    @property
    def source(self) -> Source:
        """The file or values that describe it.

        Raises:
            UsageError: only its name is known.
        """
        return self._source.required

    @property
    def name(self) -> str:
        """Its name. A file that is no longer valid still has one, so that its cluster can be removed.

        Raises:
            InvalidEnvironment: no environment can have the name that the file gives; says where.
            UsageError: it is no environment file.
        """
        return self._source.name

    @property
    def has_valid_name(self) -> bool:
        """Whether an environment can have its name.

        Raises:
            UsageError: it is no environment file.
        """
        return self._source.has_valid_name

    @property
    def external_servers(self) -> str | None:
        """The addresses of a cluster that provision did not start, where the file has `bootstrap_servers`."""
        return self._source.external_servers

    @property
    def runtime(self) -> Runtime:
        """The runtime that hosts the environment, or would host it."""
        if self._kind is None:
            self._kind = self._runtimes.holding(self.name, self._tell).kind
        return self._runtimes.of_kind(self._kind)

    @property
    def home(self) -> Home:
        """The directories of this machine for what belongs to no runtime."""
        return self._runtimes.home

    @property
    def _told_name(self) -> str:
        try:
            return self.name
        except (InvalidEnvironment, UsageError):  # `validate` and `plan` raise it with its place
            return ""

    def validate(self) -> Cluster:
        """Resolve the file without asking any engine.

        Raises:
            InvalidEnvironment: lists every problem in the file, each with its position.
        """
        from provision.operations.files import validate

        return validate(self.source, self._runtimes, self._tell)

    def declared_topics(self) -> Sequence[Topic] | None:
        """The topics of the file; None if only the name is known.

        Raises:
            InvalidEnvironment: as `validate`.
        """
        from provision.operations.files import validate

        return None if self._source.only_name else validate(self._source, self._runtimes).topics

    def digest_of_named(self) -> str:
        """A hash of the contents of all that the file names, such as templates and passwords; empty if it names none.

        Where it changes, so may what `up` makes of the same file.

        Raises:
            InvalidEnvironment: as `validate`.
        """
        from provision.spec.named_contents import digest_of_named

        return digest_of_named(self.source.load(self._tell), Path(self.source.base_directory))

    def render(self, *, secrets: bool = False) -> tuple[RenderedFile, ...]:
        """The configuration files of every node, as `up` would write them; with `secrets` also keys and passwords."""
        from provision.operations.files import render

        return render(self.source, self._runtimes, self._tell, secrets=secrets)

    def plan(self, *, frozen: bool = False, give_up: Texts = ()) -> Prepared:
        """What `up` would do, and why; changes nothing.

        `frozen` enforces the lock next to the file. `give_up` names engines of a swarm that are gone for good.
        """
        from provision import preparing

        options = preparing.PlanOptions(
            frozen=frozen, take_over=self.take_over, give_up=several(give_up, "names of engines")
        )
        return preparing.prepare(self.source, self._runtimes, options, tell=self._tell)
