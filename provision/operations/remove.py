"""Remove an environment: everything that `up` created, whatever its state."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from provision.errors import PartlyApplied, ProvisionError, Unavailable, UsageError
from provision.events import Listener, Notice, silent
from provision.home.place import Home
from provision.home.secrets import forget_at, secrets_of
from provision.home.trainers import Trainer, throwaway, training
from provision.operations import trainers
from provision.operations.concurrently import each, raise_all
from provision.operations.life import require_kept_elsewhere, stop_all
from provision.plan.actions import Kind, Verb
from provision.plan.observed import NodeState, ObservedEnvironment
from provision.runtime import Runtimes
from provision.runtime.base import TOOL_CONTAINER, Runtime


def remove_environment(
    runtime: Runtime,
    name: str,
    *,
    before: ObservedEnvironment | None = None,
    keep_data: bool = False,
    delete_data: bool = False,
    tell: Listener = silent,
) -> int:
    """Remove the environment's nodes, storages and network; returns how many things were removed.

    Whatever fails, everything else is removed too; then the first failure is raised with the others' reasons.

    Args:
        runtime: where it is.
        name: its name.
        before: what existed before, which is left alone. If there were data, so are the storages of new nodes that have
            run: replicas may have moved there, and members may have written what the older ones do not have.
        keep_data: keep the storages.
        delete_data: also delete data in a user's directory.
        tell: receives the events.
    """
    now = runtime.observe(name)
    earlier = before or ObservedEnvironment(name, runtime.kind)
    nodes = [node.name for node in now.nodes if earlier.node(node.name) is None]
    may_hold = earlier.kept and not now.is_in_directory
    used = {node.name for node in now.nodes if node.state is not NodeState.CREATED} if may_hold else set[str]()
    storages = [] if keep_data else sorted(now.storages - earlier.storages - used)
    network = now.network and not earlier.network
    failed: list[ProvisionError] = []

    def attempt(remove: Callable[[], None]) -> None:
        try:
            remove()
        except ProvisionError as error:
            failed.append(error)

    attempt(lambda: each(tell, Verb.REMOVE, nodes, lambda node: runtime.remove_node(name, node)))
    if failed:  # the storage of a node that is still there is in use, and cannot go
        left = set(nodes)
        attempt(lambda: left.intersection_update(node.name for node in runtime.observe(name).nodes))
        storages = [node for node in storages if node not in left]
    delete = {
        f"{Kind.STORAGE} {node}": partial(runtime.remove_storage, name, node, delete_data=delete_data)
        for node in storages
    }
    if storages and not earlier.storages and (delete_data or not now.is_in_directory):
        with suppress(ProvisionError):  # it matters only if this is killed, and a full disk is to be made free
            _note_whether_removing(runtime, now, removing=True, directory=now.is_in_directory)
    attempt(lambda: each(tell, Verb.REMOVE, delete, lambda storage: delete[storage]()))
    if not earlier.network:  # even if none is listed: a killed command may have left a partial one
        attempt(lambda: runtime.remove_network(name))
    raise_all(failed)
    stays = keep_data and network and runtime.observe(name).network  # the note of processes, which kept data need
    return len(nodes) + len(storages) + ((network and not stays) or now.incomplete)


def _note_whether_removing(
    runtime: Runtime, observed: ObservedEnvironment, *, removing: bool, directory: bool = False
) -> None:
    about = observed.about
    if about and (about.removing, about.removing_directory) != (removing, directory):
        noted = about.model_copy(update={"removing": removing, "removing_directory": directory})
        runtime.write_about(observed.name, noted)


def finish_removal(
    runtime: Runtime, observed: ObservedEnvironment, home: Home, tell: Listener = silent
) -> ObservedEnvironment:
    """Finish a `down`, or a rollback, that was killed while it deleted data; returns what there is then.

    What is left of the data could be that of brokers without their ensemble, or the other way round.
    """
    if not observed.is_half_removed:
        return observed
    tell(Notice(f"the removal of {observed.name} was cut off while data were deleted; it is finished first"))
    down(runtime, observed.name, home, delete_data=observed.is_in_directory, tell=tell)
    return runtime.observe(observed.name)


def down(  # noqa: PLR0913 what it is, and how it goes
    runtime: Runtime,
    name: str,
    home: Home,
    *,
    keep_data: bool = False,
    delete_data: bool = False,
    tell: Listener = silent,
    elsewhere: Callable[[str, Runtime], bool | None] = lambda _name, _runtime: False,
) -> int:
    """Remove everything that `up` created, including port leases; returns how many things were removed.

    Nodes whose data are kept are stopped cleanly first: brokers that deregister can come back at once.

    `elsewhere` tells whether another runtime has an environment of that name, None if it cannot be asked. The leases
    are that one's then; if it cannot be asked, they may be, unless something was removed here.

    Raises:
        Refused: data that are to be kept are in the memory of brokers, and would go with them.
        PartlyApplied: only what somebody else's container uses is left.
    """
    if keep_data and delete_data:
        raise UsageError("keep_data and delete_data contradict each other")
    observed = runtime.observe(name)
    if keep_data:
        require_kept_elsewhere(observed, [node for node in observed.nodes if node.needs_stop])
    end_training(runtime, name, home)
    if keep_data:
        _note_whether_removing(runtime, observed, removing=False)
    data_stay = keep_data or (observed.is_in_directory and not delete_data)
    if data_stay:
        _tell_if_half(observed, tell)
        stop_all(runtime, name, [node for node in observed.nodes if node.needs_stop], tell)

    def forget(*, removed: bool) -> None:
        others = elsewhere(name, runtime)
        removed = removed or _was_removed(name, runtime, home, others)
        # Notes of what was interrupted inside Kafka are needed as long as the data are; if nothing was here, they may
        # be elsewhere.
        if not data_stay and (removed or delete_data):
            for notes in home.notes(name):
                notes.forget_all()
        if not keep_data and others is not True and (removed or others is False):
            forget_at(secrets_of(name, observed.about, home, runtime.place), runtime.place)
            home.ports.release(name)  # last, because it tells the next `down` that this one was cut off

    try:
        removed = remove_environment(runtime, name, keep_data=keep_data, delete_data=delete_data, tell=tell)
    except PartlyApplied:  # somebody uses something of it, but its nodes are gone
        forget(removed=True)
        raise
    forget(removed=bool(removed))
    _tell_what_stays(observed, tell, data=data_stay and not keep_data)
    return removed


def _tell_if_half(observed: ObservedEnvironment, tell: Listener) -> None:
    """Say that what is to be kept is half of the data only."""
    if observed.is_half_removed:
        what = f"what is left of the data of {observed.name} is no whole cluster: some of them are deleted already"
        tell(Notice(f"{what}; `provision down {observed.name} --delete-data` removes the rest"))


def _tell_what_stays(observed: ObservedEnvironment, tell: Listener, *, data: bool) -> None:
    """Say what is left of what was there; `data` says whether those in a user's directory are."""
    if data and observed.storages:
        where = f"the data of {observed.name} stay in {observed.storage}"
        tell(Notice(f"{where}, and are yours to delete; a later `up` uses them again"))
    for thing in observed.foreign:
        tell(Notice(f"the {thing} was not made by provision; if nobody needs it, {_removal_of(thing)} removes it"))


def _was_removed(name: str, runtime: Runtime, home: Home, others: bool | None) -> bool:
    """Whether an earlier `down` has removed it, and was cut off before the home had forgotten it."""
    return others is not True and home.ports.place_of(name) == runtime.place


def end_training(runtime: Runtime, name: str, home: Home) -> bool:
    """End what trains archives in the background for an environment, or by means of it, and remove what that has made.

    Returns whether there was anything.
    """
    by_means_of = throwaway(home.directory)
    ended = [
        one
        for one in home.trainers
        if name in (one.environment, by_means_of) and one.runtime == runtime.kind and not one.is_own
    ]
    for one in ended:
        trainers.end(home, one)
    if ended and name != by_means_of:
        with training(home.cache) as alone:
            if alone:  # else somebody has begun to train meanwhile
                down(runtime, by_means_of, home)
    for remnant in runtime.remnants() if ended else ():
        if remnant.what == TOOL_CONTAINER and remnant.remove:
            remnant.remove()
    return bool(ended)


def end_trainer(runtimes: Runtimes, trainer: Trainer) -> bool:
    """The same for one, also if its runtime does not answer; what it has made there is then left."""
    try:
        runtime = runtimes.of_kind(trainer.runtime)
    except (Unavailable, UsageError):
        trainers.end(runtimes.home, trainer)
        return True
    return end_training(runtime, trainer.environment, runtimes.home)


def end_all_training(runtimes: Runtimes) -> None:
    """The same for all of a home."""
    for trainer in runtimes.home.trainers:
        if not trainer.is_own:
            end_trainer(runtimes, trainer)


def _removal_of(thing: str) -> str:
    """The command that removes a thing that provision did not create, for its user to decide."""
    what, _, name = thing.partition(" ")
    return f"`docker {'rm -f' if what == 'container' else f'{what} rm'} {name}`"
