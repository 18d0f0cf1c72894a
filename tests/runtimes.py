"""Runtimes that tests give to an environment in place of an engine."""

from collections.abc import Mapping
from pathlib import Path

from provision.cluster.layout import Layout
from provision.errors import Unavailable
from provision.events import Listener, silent
from provision.home.place import Home, Place
from provision.runtime import Runtimes
from provision.runtime.base import Runtime
from provision.runtime.fake import FakeRuntime
from provision.spec.model import EnvironmentSpec

Answers = Mapping[str, FakeRuntime | Unavailable]


class FakeRuntimes(Runtimes):
    """One fake runtime for every environment, which has things where containers have them.

    Args:
        home: the home, as for `Runtimes`; of one, only its directory.
        answers: by kind what answers; one runtime stands for every kind.
        cache: the cache; by default in the home's directory.
    """

    def __init__(self, home: Place, answers: FakeRuntime | Answers, cache: Path | None = None) -> None:
        directory = Home.of(home).directory
        super().__init__(Home.at(directory, cache or directory / "cache"))
        self.answers: Answers = {"docker": answers, "process": answers} if isinstance(answers, FakeRuntime) else answers

    def layout(self, kind: str, spec: EnvironmentSpec, base_directory: str) -> Layout:
        """As containers have it."""
        return super().layout("docker" if kind == "fake" else kind, spec, base_directory)

    def of_kind(self, kind: str) -> Runtime:
        """What answers for it."""
        answer = self.answers["docker" if kind == "fake" else kind]
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    def connected(self) -> tuple[Runtime, ...]:
        """All that answer."""
        return tuple(self.answering().values())

    def choose(self, asked: str, name: str, tell: Listener = silent) -> Runtime:  # noqa: ARG002 there is one
        """The one that stands for an engine."""
        return self.of_kind("docker")

    def holding(self, name: str, tell: Listener = silent) -> Runtime:  # noqa: ARG002 there is one
        """The one that stands for an engine."""
        return self.of_kind("docker")
