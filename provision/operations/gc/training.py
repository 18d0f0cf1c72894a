"""What trains archives in the background, and what is left of it, and of `warm`, if it was killed."""

from collections.abc import Iterator
from functools import partial

from provision.events import Listener
from provision.home.trainers import Trainer, throwaway, training
from provision.operations.gc.leftover import Leftover, Situation
from provision.operations.remove import down, end_trainer
from provision.runtime import Runtimes
from provision.runtime.base import Runtime


def running(situation: Situation) -> Iterator[Leftover]:
    """What trains: nothing needs it, and the next `up` may start it again."""
    for trainer in situation.runtimes.home.trainers:
        if not trainer.process.is_over:
            yield _leftover("training", situation.runtimes, trainer, str(trainer))


def killed(situation: Situation) -> Iterator[Leftover]:
    """Notes of what has ended, and throwaway environments with which nobody trains."""
    home = situation.runtimes.home
    for trainer in home.trainers:
        if trainer.process.is_over:
            why = f"its {trainer.process}, which trained archives, was killed"
            yield _leftover("killed training", situation.runtimes, trainer, why)
    name = throwaway(home.directory)
    for found in situation.environments:
        if found.name == name and not any(one.process.is_over is False for one in home.trainers):
            with training(home.cache) as nobody:
                if nobody:
                    why, key = "what trained archives with it was killed", f"{found.runtime.kind} {name}"
                    remove = partial(_remove, situation.runtimes, found.runtime)
                    yield Leftover("killed training", name, why, remove, found.observed.created_s, key)


def _leftover(kind: str, runtimes: Runtimes, trainer: Trainer, why: str) -> Leftover:
    def remove(_tell: Listener) -> bool:
        return end_trainer(runtimes, trainer)

    return Leftover(kind, trainer.environment, why, remove, trainer.since_s)


def _remove(runtimes: Runtimes, runtime: Runtime, _tell: Listener) -> bool:
    with training(runtimes.home.cache) as nobody:
        return nobody and bool(down(runtime, throwaway(runtimes.home.directory), runtimes.home))
