"""Changes of an environment, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from provision.common.arguments import Texts, several
from provision.environment.looking import Looking
from provision.events import Listener

if TYPE_CHECKING:
    from provision.operations.changing import Change
    from provision.plan.about import About


_mine: ContextVar[tuple[Change, ...]] = ContextVar("provision_changes", default=())
"""The changes that this thread, task, or work of theirs in a thread of its own, is in the middle of."""


class Changing(Looking):
    """The part of `Environment` that keeps others from changing it at the same time, other threads among them."""

    _change: Change | None = None

    @contextmanager
    def changing(self, command: str, options: Texts = ()) -> Iterator[None]:
        """Let the changes inside the block be one: nobody else comes between, and they are one run of the history.

        Args:
            command: what the history calls it.
            options: what has to be said again to go on with it, if it is interrupted.

        Raises:
            Busy: another command or thread is changing it.
        """
        with self._changed(command, options=several(options, "options")):
            yield

    @property
    def _step_of(self) -> Change | None:
        """The larger change of which a change is a step that begins here."""
        return self._change if self._change in _mine.get() else None

    @contextmanager
    def _changing(self, command: str, *, options: Sequence[str] = (), force: bool = False) -> Iterator[Change]:
        """Change the environment with the lock of the home; `up` chooses the runtime only then."""
        from provision.operations.changing import changing

        if larger := self._step_of:
            with self._joining():
                yield larger
            return
        wait_s, name, said = self.lock_timeout_s, self.name, " ".join(options)
        with changing(self.home, name, command, options=said, tell=self._tell, timeout_s=wait_s, force=force) as change:
            self._change = change
            _mine.set((*_mine.get(), change))
            try:
                yield change
            finally:
                self._change = None
                _mine.set(tuple(one for one in _mine.get() if one is not change))
                if self._seen:
                    self._seen.observed = None

    @contextmanager
    def _changed(self, command: str, *, options: Sequence[str] = (), force: bool = False) -> Iterator[Listener]:
        """Change the environment where it is, with both locks; yields the listener.

        First, because a lock may be taken over: a file that has nothing to do with it must not end anybody's command.
        """
        is_step = self._step_of is not None
        seen = None if is_step else self._require_same_file()
        with self._changing(command, options=options, force=force) as change:
            is_new = seen is None and not self._source.only_name
            again = not is_step and (change.has_waited or is_new)
            if again:
                self._kind = None  # whoever had the lock before may have made it, or moved it to another runtime
            change.hold(self.runtime)
            if again:
                self._require_same_file(seen)
            yield change.tell

    def _require_same_file(self, seen: About | None = None, tell: Listener | None = None) -> About | None:
        """Refuse an environment of another file, unless that was agreed to before; returns what it knows of itself.

        `tell` is told why it may be used; by default, that is the environment's listener.
        """
        from provision.operations.whose import require_same_file

        if self._source.only_name:
            return None
        about = self.runtime.about(self.name)
        if about != seen:
            require_same_file(self.name, about, self._source, take_over=self.take_over, tell=tell or self._tell)
        return about

    def _require_own(self) -> None:
        """Refuse to change the inside of the environment of another file, where that needs no lock.

        A cluster that others run has no file. Of one that is used `as_client`, it was asked before.
        """
        if not self.external_servers and self._step_of is None and not self._is_client:
            self._require_same_file()

    @contextmanager
    def _changed_inside(self, command: str) -> Iterator[Listener]:
        """Change what is inside Kafka; a cluster that others run has no lock, and a client takes none."""
        if self.external_servers or self._is_client:
            yield self._tell
        else:
            with self._changed(command) as tell:
                yield tell
