"""Carry out the node actions of a plan. All decisions about the desired state were made in `plan`."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

from provision.apply.nodes import NodeWork
from provision.common.interrupts import end_if, shielded, telling_where_it_stands
from provision.common.offloading import require_wanted
from provision.errors import Refused
from provision.events import Listener, Notice, action
from provision.plan.actions import Action, Impact, Plan
from provision.plan.listing import listed

# Enough for every node of a typical cluster at once, few enough not to overload the engine.
_WORKERS = 16
_LOOK_S = 0.2
"""How soon it is noticed that this is not wanted any more; Ctrl-C is noticed at once."""


def require_no_refusal(plan: Plan) -> None:
    """Stop before anything is changed if the plan refuses something.

    Raises:
        Refused: names every refused change.
    """
    if plan.refusals:
        causes: dict[str, list[str]] = {}
        for refusal in plan.refusals:
            causes.setdefault(refusal.cause, []).append(refusal.resource)
        why = "\n".join(f"{listed(resources)}: {cause}" for cause, resources in causes.items())
        hints = dict.fromkeys(refusal.detail for refusal in plan.refusals if refusal.detail)
        raise Refused(f"{plan.environment} is left as it is", why=why, hint="; ".join(hints))


def apply_nodes(actions: Sequence[Action], work: NodeWork) -> None:
    """Perform actions on nodes concurrently, each as soon as those it depends on have ended.

    The first failure, or Ctrl-C, ends it: running actions are finished, no new ones begin, and the failure is raised.
    The waits of `work` are cancelled, so that actions that are only waiting end at once.
    """
    done: set[str] = set()

    def perform(one: Action) -> None:
        with action(work.tell, one.verb, one.resource):
            work.perform(one)
        done.add(one.key)

    def standing() -> str:
        rolled = [a.name for a in actions if a.key not in done and a.impact in (Impact.ROLLING, Impact.RECREATE)]
        return f"not done: {listed(rolled)}; `provision up` continues from there" if rolled else ""

    with telling_where_it_stands(standing):
        _walk({one.key: one for one in actions}, perform, work.tell, work.cancel)


def _walk(
    actions: Mapping[str, Action], perform: Callable[[Action], None], tell: Listener, cancel: Callable[[], None]
) -> None:
    order = TopologicalSorter({key: [k for k in one.after if k in actions] for key, one in actions.items()})
    order.prepare()
    patience = Notice("finishing what has begun, please wait; again ends it at once")
    running: dict[Future[None], str] = {}
    pool = ThreadPoolExecutor(max_workers=_WORKERS)
    try:
        while order.is_active():
            running |= {pool.submit(perform, actions[key]): key for key in order.get_ready()}
            for future in wait(running, _LOOK_S, FIRST_COMPLETED).done:
                order.done(running.pop(future))
                future.result()
            require_wanted()
    except KeyboardInterrupt:
        cancel()
        tell(patience)
        raise
    except BaseException:
        cancel()
        raise
    finally:
        # Only the end of the program cuts this short: actions still running during a rollback could undo it.
        with shielded(lambda: tell(patience)) as interrupted:
            pool.shutdown(wait=True, cancel_futures=True)
    end_if(interrupted)  # just as the last action ended
