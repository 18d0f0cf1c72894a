"""Who hears of the events of an environment: its listener, and whoever watches a method of it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

from provision.common.offloading import require_wanted
from provision.events import Event, Listener, of_environment

_watching: ContextVar[tuple[tuple[object, Listener], ...]] = ContextVar("provision_watchers", default=())
"""Who hears the events of which environment, of work that begins in this thread or task."""
_quiet: ContextVar[tuple[object, ...]] = ContextVar("provision_quiet", default=())
"""The environments of whose work that begins in this thread or task nobody hears."""


class Heard(ABC):
    """The part of `Environment` that tells events; `on_event` hears all of them."""

    def __init__(self, on_event: Listener) -> None:
        self.on_event = on_event
        self._joined: tuple[Listener, ...] = ()
        self._in_turn = threading.RLock()

    @property
    @abstractmethod
    def _told_name(self) -> str:
        """What the environment is called in events; empty if that is not known."""

    @property
    def _tell(self) -> Listener:
        """What the events of work that begins here are told to, whichever thread has them."""
        watchers = self._watchers
        is_quiet = self in _quiet.get()

        def hear(event: Event) -> None:
            all_watchers = tuple(dict.fromkeys((*watchers, *self._joined)))
            with self._in_turn if all_watchers else nullcontext():  # several threads have events; the order is one
                for listener in (*all_watchers, self.on_event):
                    listener(event)

        def tell(event: Event) -> None:
            require_wanted()
            if not is_quiet:
                of_environment(self._told_name, hear)(event)

        return tell

    @property
    def _watchers(self) -> tuple[Listener, ...]:
        """Who hears the events of work that begins here."""
        return tuple(watcher for environment, watcher in _watching.get() if environment is self)

    @contextmanager
    def _joining(self) -> Iterator[None]:
        """Have those who hear what begins here hear a change that has begun before, too."""
        mine = self._watchers
        with self._in_turn:
            self._joined += mine
        try:
            yield
        finally:
            with self._in_turn:
                self._joined = tuple(one for one in self._joined if one not in mine)

    @contextmanager
    def _watched(self, watcher: Listener) -> Iterator[None]:
        """Have a listener hear the events of work that begins in the block, too."""
        mine = (self, watcher)
        _watching.set((*_watching.get(), mine))
        try:
            yield
        finally:
            _watching.set(tuple(one for one in _watching.get() if one is not mine))

    @contextmanager
    def _silenced(self) -> Iterator[None]:
        """Have nobody hear the events of work that begins in the block."""
        _quiet.set((*_quiet.get(), self))
        try:
            yield
        finally:
            _quiet.set(tuple(one for one in _quiet.get() if one is not self))
