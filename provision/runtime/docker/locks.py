"""The lock of an environment in the engine, for commands of other homes and other machines that use the same engine.

It is a note, so exactly one of those who make it at once has it. Nothing removes the note of a command that was killed,
so others have to find out that it is dead: by its process if that is on their machine, else by its heartbeats. A
heartbeat is another note, made anew all the time by a command that takes long; while it is short, its lock itself is
young enough. How old they are, the engine's own clock tells; but a clock may have been set. So what looks old is
watched until a living command would have made another one, and only that decides.

Somebody else's lock is removed only by the one who has made a note of its token: of two who take over at once, only one
does, and looks again before. A living holder finds that note, stops before its next action, and gives up its lock.
"""

import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from docker import APIClient

from provision.common.clocks import running_s
from provision.common.notes import DamagedNote, parse_note
from provision.common.patience import Patience
from provision.common.process_identity import ProcessIdentity
from provision.errors import Busy, ProvisionError
from provision.events import Listener, Notice, silent
from provision.home.holders import Holder, busy, taken_over
from provision.runtime.base import Hold
from provision.runtime.docker import notes
from provision.runtime.docker.client import translated

LOCK, BEAT = "lock", "beat"
BEAT_S, DEAD_S = 15.0, 60.0
_UNSEEN_S = 25.0
"""Who has not seen its lock for longer may have lost it meanwhile: who takes it by force waits longer than that."""
_SILENT_S = 20.0
"""A command that lives has made another heartbeat by then."""
_HOLDER = "holder"
_PAUSE_S = 0.2
_MOMENT_S = 5.0
_LOOK_EVERY_S = 1.0
_JOIN_S = 5.0


def hold(
    api: APIClient, environment: str, holder: Holder, force: Patience | None = None, tell: Listener = silent
) -> Hold:
    """Take the lock of an environment, also from a dead holder; with `force`, also from a living one.

    Args:
        api: the engine.
        environment: the name.
        holder: who takes it.
        force: how long a living holder has to give it up; then it is taken away.
        tell: is told if the holder has to be watched.

    Raises:
        Busy: another command holds it; names that one.
        Refused: something else has the name of the lock.
    """
    patience = Patience(_MOMENT_S)
    while True:
        there = notes.make(api, environment, LOCK, _said(holder))
        other = _holder_in(there)
        if other == holder:
            return _EngineHold(api, environment, holder)
        if not _may_be_dead(api, there) or not _is_silent(api, there, tell):
            if force is None:
                raise busy(environment, other)
            _ask_to_end(api, there, holder, force)
        elif not _remove_dead(api, there, holder) and not patience.pause(_PAUSE_S):
            raise busy(environment, other)


def held_by(api: APIClient, environment: str) -> Holder | None:
    """Who holds the lock of an environment; None if nobody does, or the command has ended without giving it up."""
    there = notes.read(api, environment, LOCK)
    return None if there is None or _is_dead(api, there) else _holder_in(there)


def left_by(api: APIClient, environment: str) -> Holder | None:
    """Who has left the lock of an environment when the command ended; None if nobody has."""
    there = notes.read(api, environment, LOCK)
    return _holder_in(there) if there and _is_dead(api, there) else None


def is_held_elsewhere(found: Iterable[notes.Note]) -> bool:
    """Whether another process holds the lock among the notes of an environment, and has not certainly ended."""
    mine = ProcessIdentity.of()
    return any(
        note.kind == LOCK and not _is_over(note) and not ((holder := _holder_in(note)) and holder.process == mine)
        for note in found
    )


def sweep(api: APIClient, environment: str) -> None:
    """Remove what killed commands have left of locks; the lock that is held stays, and what belongs to it."""
    there = notes.all_of(api, environment)
    held = {_token_of(note) for note in there if note.kind == LOCK}
    for note in there:
        if (token := _lock_token(note)) and token not in held:
            notes.remove_same(api, note)


def abandoned(api: APIClient) -> tuple[notes.Note, ...]:
    """What commands have left of locks that have ended without giving them up, in whichever environment."""
    every = notes.all_of(api)
    held = {(note.environment, _token_of(note)) for note in every if note.kind == LOCK}
    now_s = _engine_now_s(api) if every else 0.0

    def is_left(note: notes.Note) -> bool:
        if note.kind == LOCK:
            return _is_dead(api, note)
        token = _lock_token(note)
        return bool(token) and (note.environment, token) not in held and 0 < note.made_s < now_s - DEAD_S

    return tuple(note for note in every if is_left(note))


def remove_rest(api: APIClient, note: notes.Note) -> bool:
    """Remove what is left of a lock that is gone; returns whether it was still there."""
    return notes.remove_same(api, note)


class _EngineHold(Hold):
    """A lock in the engine, with its heartbeat."""

    def __init__(self, api: APIClient, environment: str, holder: Holder) -> None:
        self._api, self._environment, self._holder = api, environment, holder
        self._ended = threading.Event()
        self._lost: Busy | None = None
        self._seen_s = _awake_or_not_s()
        self._looked_s = running_s()
        self._heart = threading.Thread(target=self._beat, name=f"heartbeat of {environment}", daemon=True)
        self._heart.start()

    def require_held(self, *, at_once: bool = False) -> None:
        now_s = running_s()
        if self._lost is None and (at_once or now_s - self._looked_s >= _LOOK_EVERY_S):
            try:
                self._look()
            except Busy as error:
                self._lost = error
            self._looked_s = now_s
        if self._lost:
            raise self._lost

    def _look(self) -> None:
        there = {note.kind: note for note in notes.all_of(self._api, self._environment)}
        if asked := there.get(_request(self._holder.token)):
            raise taken_over(self._environment, _holder_in(asked))
        # Somebody may have removed all unused volumes by hand: then it is made again, unless another is quicker.
        # One that was cut off, slept or was frozen for so long may be dead to others, who have made theirs and given it
        # up again.
        if LOCK not in there and _awake_or_not_s() - self._seen_s > _UNSEEN_S:
            raise taken_over(self._environment, None)
        lock = there.get(LOCK) or notes.make(self._api, self._environment, LOCK, _said(self._holder))
        if (other := _holder_in(lock)) != self._holder:
            raise taken_over(self._environment, other)
        self._seen_s = _awake_or_not_s()

    def release(self) -> None:
        self._ended.set()
        self._heart.join(_JOIN_S)
        mine = notes.Note(self._environment, LOCK, _said(self._holder))
        notes.remove_same(self._api, mine)

    def _beat(self) -> None:
        last: notes.Note | None = None
        count = 0
        while not self._ended.wait(BEAT_S):
            count += 1
            # An engine that does not answer is met by what the command itself does.
            with suppress(ProvisionError):
                beat = notes.make(self._api, self._environment, f"{BEAT}.{self._holder.token}.{count}", {})
                if last:
                    notes.remove_same(self._api, last)
                last = beat
                now = notes.read(self._api, self._environment, LOCK)
                if now and _holder_in(now) != self._holder:  # it has been taken over: this one is not needed any more
                    break
                if now:
                    self._seen_s = _awake_or_not_s()
        if last:
            with suppress(ProvisionError):  # `sweep` finds it
                notes.remove_same(self._api, last)


def _said(holder: Holder) -> dict[str, str]:
    return {_HOLDER: holder.model_dump_json()}


def _holder_in(note: notes.Note) -> Holder | None:
    """Who made it; None if that cannot be read."""
    with suppress(DamagedNote):
        return parse_note(note.texts.get(_HOLDER, "").encode(), Holder)
    return None


def _token_of(note: notes.Note) -> str:
    holder = _holder_in(note)
    return holder.token if holder else ""


def _lock_token(note: notes.Note) -> str:
    """The token of the lock that a heartbeat or a request belongs to; empty for a lock, and for other notes."""
    kind, _, rest = note.kind.partition(".")
    return rest.partition(".")[0] if kind in (LOCK, BEAT) else ""


def _request(token: str) -> str:
    """The kind of the note by which a lock is taken away; the lock may be such a note itself."""
    return f"{LOCK}.{token}"


def _is_over(note: notes.Note) -> bool | None:
    """Whether the process of the command that made a lock has ended; None if that cannot be told from here."""
    holder = _holder_in(note)
    over = holder.process.is_over if holder else None
    # Another boot of what looks like this machine may be another machine with the same names.
    return over if over is False or (holder and holder.process.is_of_this_boot) else None


def _is_dead(api: APIClient, note: notes.Note) -> bool:
    """Whether the command that made a lock has ended, as far as that is told at once."""
    over = _is_over(note)
    if over is not None:
        return over
    age_s = _age_s(api, note)
    return age_s is not None and age_s > DEAD_S


def _may_be_dead(api: APIClient, note: notes.Note) -> bool:
    """Whether it has ended, or the engine's clock does not say that it lives."""
    over = _is_over(note)
    if over is not None:
        return over
    age_s = _age_s(api, note)
    return age_s is None or abs(age_s) > DEAD_S


def _is_silent(api: APIClient, note: notes.Note, tell: Listener = silent) -> bool:
    """Whether the command that made a lock has ended: its process, or it gives no sign of life for long enough."""
    over = _is_over(note)
    if over is not None:
        return over
    tell(Notice(f"{_holder_in(note) or 'another command'} holds {note.environment}; waiting for a sign of life"))
    patience, before = Patience(_SILENT_S), set(_beats(api, note))
    while patience.pause(_PAUSE_S * 5):
        if notes.read(api, note.environment, LOCK) != note:  # it has been given up
            return True
        if set(_beats(api, note)) - before:
            return False
    return True


def _beats(api: APIClient, note: notes.Note) -> dict[str, float]:
    """When the command that made a lock has made its heartbeats that are there, by their kinds."""
    beginning = f"{BEAT}.{_token_of(note)}."
    return {one.kind: one.made_s for one in notes.all_of(api, note.environment) if one.kind.startswith(beginning)}


def _age_s(api: APIClient, note: notes.Note) -> float | None:
    """How old the last sign of life is by the engine's clock; None if the engine does not tell."""
    youngest_s = max([note.made_s, *_beats(api, note).values()])
    return _engine_now_s(api) - youngest_s if youngest_s > 0 else None


def _awake_or_not_s() -> float:
    """A clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _engine_now_s(api: APIClient) -> float:
    with translated("reading the clock of the engine"):
        return notes.engine_time_s(api.info().get("SystemTime"))


def _remove_dead(api: APIClient, dead: notes.Note, holder: Holder) -> bool:
    """Remove a dead command's lock; False if another command is just doing so."""
    request = notes.make(api, dead.environment, _request(_token_of(dead)), _said(holder))
    if _holder_in(request) != holder:
        return _is_dead(api, request) and _remove_dead(api, request, holder)
    try:
        notes.remove_same(api, dead)
        sweep(api, dead.environment)
    finally:
        notes.remove_same(api, request)
    return True


def _ask_to_end(api: APIClient, lock: notes.Note, holder: Holder, patience: Patience) -> None:
    """Have a living command give up its lock, and take the lock away if it does not.

    Raises:
        Busy: another command is doing the same.
    """
    request = notes.make(api, lock.environment, _request(_token_of(lock)), _said(holder))
    if (other := _holder_in(request)) != holder:
        if not _is_dead(api, request):
            raise busy(lock.environment, other)
        _remove_dead(api, request, holder)
        return
    try:
        while notes.read(api, lock.environment, LOCK) == lock and patience.pause(_PAUSE_S):
            pass
        notes.remove_same(api, lock)
    finally:
        notes.remove_same(api, request)
