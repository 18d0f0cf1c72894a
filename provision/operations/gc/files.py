"""What killed commands leave in the home and in the cache: drafts of files, locks, port leases, old histories."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from provision.common.own_directories import remove_tree
from provision.common.values import replace
from provision.common.whole_files import left_drafts
from provision.errors import Busy, ProvisionError
from provision.events import Listener
from provision.home.holders import Holder
from provision.home.locks import DRAFT, HomeLock
from provision.home.ports import Known
from provision.home.runs import KEPT, directory_of
from provision.home.runs import ended as ended_runs
from provision.home.runs import kept as kept_runs
from provision.home.secrets import Where
from provision.operations.gc.leftover import Leftover, Situation, entries_of
from provision.runtime.directories import has_data
from provision.runtime.jars import left_fetches
from provision.security.store import SecretStore
from provision.spec.names import is_environment_name


def leases(situation: Situation) -> Iterator[Leftover]:
    """Port leases of environments that no runtime has."""
    ports, known = situation.runtimes.home.ports, situation.runtimes.environments_at
    for name in ports.reclaim(known, dry_run=True):
        noted = f"{count} leased" if (count := len(ports.of(name))) else "noted where it was"

        def remove(_tell: Listener, name: str = name) -> bool:
            return name in ports.reclaim(known)

        yield Leftover("port lease", name, f"{noted}, but no runtime has the environment", remove)


def locks(situation: Situation) -> Iterator[Leftover]:
    """Locks in the home whose commands were killed."""
    home = situation.runtimes.home.directory
    for file, holder in situation.locks:
        if is_environment_name(file.name) and holder and holder.process.is_over:
            why = f"its command was killed: {holder}"
            yield Leftover("lock", file.name, why, partial(_unlock, home, file.name), holder.since)


def untold_locks(situation: Situation) -> Iterator[Leftover]:
    """Locks in the home that do not say whose they are, and those that were to take the place of one."""
    home = situation.runtimes.home.directory
    for file, holder in situation.locks:
        if is_environment_name(file.name) and holder is None:
            found = _file("lock", file, "it does not say who holds it")
            yield replace(found, name=file.name, remove=partial(_unlock, home, file.name))
        elif file.name.endswith(DRAFT):
            yield _file("lock", file, "the command that was taking the lock over was killed")


def _unlock(home: Path, name: str, _tell: Listener) -> bool:
    """Take the lock and give it up, which removes it, unless somebody else has it meanwhile."""
    with _hold(home, name) as is_held:
        return is_held


@contextmanager
def _hold(home: Path, name: str) -> Iterator[bool]:
    """Keep an environment's commands of this home away; false if one is at work."""
    lock = HomeLock(home, name)
    try:
        lock.take(Holder.of("gc"))
    except Busy:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def journals(situation: Situation) -> Iterator[Leftover]:
    """Histories of environments that are gone."""
    return _of_gone(situation, "history", ("journals",), ".jsonl")


def cluster_notes(situation: Situation) -> Iterator[Leftover]:
    """Notes of throttles, and of topics that were being filled, whose environments are gone."""
    return _of_gone(situation, "cluster note", ("throttles", "seeds"), "")


def _of_gone(situation: Situation, kind: str, places: Iterable[str], suffix: str) -> Iterator[Leftover]:
    """What the home has, in these of its directories, of environments that no runtime has any more."""
    runtimes = situation.runtimes
    home = runtimes.home.directory

    def find() -> Iterator[tuple[Path, str]]:
        entries = (entry for place in places for entry in entries_of(home / place, home))
        named = [entry for entry in entries if entry.suffix == suffix and is_environment_name(entry.stem)]
        there = runtimes.environments_at("") if named else None
        gone = () if there is None else (entry for entry in named if entry.stem not in there)
        yield from ((entry, "its environment is gone") for entry in gone)

    for found in _files(kind, find):

        def remove(tell: Listener, found: Leftover = found) -> bool:
            with _hold(home, Path(found.name).stem) as is_held:  # who is about to make it writes its history
                return is_held and found.remove(tell)

        yield replace(found, remove=remove)


def test_runs(situation: Situation) -> Iterator[Leftover]:
    """What the processes of a killed test run have agreed in."""
    home = situation.runtimes.home.directory
    return _files("test run", lambda: ((place, f"its {process} has ended") for place, process in ended_runs(home)))


def secrets(situation: Situation) -> Iterator[Leftover]:
    """Keys and certificates of environments that are certainly gone, with their data."""
    home = situation.runtimes.home.directory
    known = cache(situation.runtimes.environments_at)
    for directory in entries_of(home / "secrets", home):
        store = SecretStore(directory)
        if is_environment_name(store.environment) and _is_gone(store, known):
            found = _file("secrets", directory, "its environment is gone")
            yield replace(found, remove=partial(_forget, situation, directory, found))


def _is_gone(store: SecretStore, known: Known) -> bool:
    """Whether nothing of an environment is where it was: neither at a runtime's place, nor in a directory of data."""
    name, where = store.environment, Where.of(store)
    there = [known(place) for place in where.places or [""]]
    if any(names is None or name in names for names in there):
        return False
    try:
        return not where.storage or not has_data(Path(where.storage), name)
    except ProvisionError:  # it cannot be read, so that there may be data
        return False


def _forget(situation: Situation, directory: Path, found: Leftover, tell: Listener) -> bool:
    """Remove secrets, unless they have been used meanwhile, or their environment is there again, or about to be."""
    runtimes, store = situation.runtimes, SecretStore(directory)
    with _hold(runtimes.home.directory, store.environment) as is_held:
        now = _file(found.kind, directory, found.why)
        is_left = now.since_s == found.since_s and _is_gone(store, runtimes.environments_at)
        return is_held and is_left and now.remove(tell)


def kept_by_tests(situation: Situation) -> Iterator[Leftover]:
    """What test runs have noted of environments that they kept, and that are gone."""
    runtimes = situation.runtimes

    def is_gone(key: str, name: str) -> bool:
        try:
            if name:
                return runtimes.holding(name).observe(name).is_absent
            # Names end in the key. Without a note, nothing but locks and marks would be lost.
            there = (known for runtime in runtimes.answering().values() for known in runtime.environments())
            return not any(known.endswith(f"-{key}") for known in there)
        except ProvisionError:  # what it may be in does not answer
            return False

    def find() -> Iterator[tuple[Path, list[Path], str]]:
        home = runtimes.home.directory
        for key, name, files in kept_runs(home):
            if is_gone(key, name):
                # The note goes last: what is killed before can be found by its name again.
                ordered = sorted(files, key=lambda file: file.suffix == ".json")
                told = directory_of(home, KEPT) / f"{key}.*"
                yield told, ordered, f"{name or 'the environment'}, which it kept, is gone"

    return _groups("test run", find)


def drafts(situation: Situation) -> Iterator[Leftover]:
    """Files and downloads that a killed command was writing."""
    home = situation.runtimes.home

    def of(find: Callable[[Path], Iterable[Path]], place: Path, what: str) -> Iterator[tuple[Path, str]]:
        return ((path, f"the command that was {what} it has ended") for path in find(place))

    for place in (home.directory, home.cache):
        yield from _files("draft", partial(of, left_drafts, place, "writing"))
    yield from _files("download", partial(of, left_fetches, home.cache / "kafka", "fetching"))


def _files(kind: str, find: Callable[[], Iterable[tuple[Path, str]]]) -> Iterator[Leftover]:
    """Files and directories that are found to be left over, with the reasons; each is removed by itself."""
    return _groups(kind, lambda: ((path, [path], why) for path, why in find()))


def _groups(kind: str, find: Callable[[], Iterable[tuple[Path, list[Path], str]]]) -> Iterator[Leftover]:
    """Files and directories that are found to be left over, as they are told, all that go together, and the reason.

    They are asked for again before they are removed: between the two somebody may have read a list and agreed to it,
    and they may be in use again. They are removed while they are found: what a finder locks for that long is kept from
    everybody else.
    """
    for told, paths, why in tuple(find()):

        def remove(_tell: Listener, told: Path = told) -> bool:
            for still, now, _why in find():
                if still == told:
                    for path in now:
                        _remove(path)
                    return True
            return False

        yield Leftover(kind, str(told), why, remove, max(filter(None, map(_since_s, paths)), default=None))


def _file(kind: str, path: Path, why: str) -> Leftover:
    def remove(_tell: Listener) -> bool:
        _remove(path)
        return True

    return Leftover(kind, str(path), why, remove, _since_s(path))


def _remove(path: Path) -> None:
    try:
        remove_tree(path)
    except OSError as error:
        raise ProvisionError(f"cannot remove {path}", why=error.strerror or str(error)) from error


def _since_s(path: Path) -> float | None:
    with suppress(OSError):
        return path.lstat().st_mtime
    return None
