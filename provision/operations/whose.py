"""Whose an environment is: the file it was made from, the home it belongs to, and who or what it was made for."""

import getpass
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from provision.common.clocks import now_s
from provision.common.process_identity import ProcessIdentity, host_name
from provision.errors import ProvisionError, Refused, UsageError
from provision.events import Listener, Notice
from provision.plan.about import About
from provision.plan.observed import ObservedEnvironment
from provision.runtime.base import Runtime
from provision.security.profiles import PLAIN_TEXT
from provision.spec.source import Source
from provision.spec.units import duration_text


class Maker(Struct, frozen=True):
    """For whom an environment is made.

    `home` is the home directory it belongs to, `owner` the person or CI job that is named (empty: none), and `process`
    the one with whose end it is to go.
    """

    home: Path
    owner: str = ""
    process: ProcessIdentity | None = None

    @classmethod
    def of(cls, home: Path, owner: str = "", owner_pid: int | None = None) -> "Maker":
        """Who is named; without an `owner`, the one in `PROVISION_OWNER`.

        Raises:
            UsageError: there is no process with that id, or the owner cannot be shown.
        """
        process = None if owner_pid is None else ProcessIdentity.of(owner_pid)
        named = owner or named_owner()
        if not named.isprintable():
            raise UsageError(f"the owner {named!r} has a line break or another control character")
        return cls(home, named, process)


def named_owner() -> str:
    """The owner that `PROVISION_OWNER` names; empty without one."""
    return os.environ.get("PROVISION_OWNER", "")


def require_same_file(
    name: str, about: About | None, source: Source, *, take_over: bool = False, tell: Listener
) -> None:
    """Refuse an environment that was made from another file, unless that is meant; a notice tells why it may be used.

    It is meant if it is to be taken over, if the other file is no longer there, because it has been moved, or if this
    one says the environment's name, where it could have had its own.

    Raises:
        Refused: it was made from another file.
    """
    if about is None or source.only_name or _is_same(about, source):
        return
    here = _path(source) or "the given values"
    if take_over:
        tell(Notice(f"{name} was made from {about.origin}; {here} takes it over"))
    elif _is_moved(about) and source.file:
        tell(Notice(f"{name} was made from {about.origin}, which is no longer there; {here} takes its place"))
    elif source.says_name:
        tell(Notice(f"{name} was made from {about.origin}; {here} says the same name"))
    else:
        raise Refused(
            f"{name} was made from another file",
            why=f"it was made from {about.origin}{f' by {about.user}' if about.user else ''}\nand not from {here}",
            hint="--take-over uses it all the same; or say another `name` in the file, for an environment of its own",
        )


def about_it(observed: ObservedEnvironment) -> About | None:
    """What an environment that is there knows of itself: a note alone is what a killed command has left of another."""
    return None if observed.is_absent else observed.about


def _has_ended(process: ProcessIdentity | None) -> bool:
    return process is not None and process.is_over is True


def other_origin(about: About | None, source: Source) -> str:
    """What an environment was made from, if that is something else than this file; empty if it is not."""
    return "" if about is None or source.only_name or _is_same(about, source) else about.origin


def made_from(source: Source, runtimes: Iterable[Runtime]) -> tuple[str, ...]:
    """The environments that are there and were made from this file, whatever it calls them."""
    found = set[str]()
    for runtime in runtimes:
        with suppress(ProvisionError):  # it is only told
            there = {name for name, about in runtime.abouts().items() if _is_same(about, source)}
            found |= there.intersection(runtime.environments()) if there else there
    return tuple(sorted(found))


def about_of(  # noqa: PLR0913 all that it is to know
    source: Source,
    maker: Maker,
    observed: ObservedEnvironment,
    ttl_s: float | None,
    *,
    security: str = PLAIN_TEXT,
    secrets: str = "",
    take_over: bool = False,
) -> About:
    """What an environment is to know of itself after `up`.

    It keeps its maker and its owner until another file takes its place, or another owner is named; but not a process
    that has ended, with which it would go at once. It keeps its home only on the machine where that is. Over kept data,
    it begins anew: its `ttl` may have passed long ago.
    """
    before = about_it(observed)
    goes_on = bool(observed.nodes)
    new = About(
        file=_path(source),
        host=host_name(),
        home=str(maker.home),
        user=_user_name(),
        owner=maker.owner,
        owner_process=maker.process,
        created_s=(observed.created_s if goes_on else None) or now_s(),
        ttl_s=ttl_s,
        security="" if security == PLAIN_TEXT else security,
        secrets=secrets,
    )
    if before is None:
        return new
    kept: dict[str, object] = {"changes": before.changes}
    kept |= {"created_s": before.created_s} if goes_on else {}
    if not take_over:
        kept |= {} if maker.owner else {"owner": before.owner}
        kept |= {} if maker.process or _has_ended(before.owner_process) else {"owner_process": before.owner_process}
    if _is_same(before, source) and before.host == host_name():
        kept |= {"file": before.file}
        kept |= {"home": before.home, "user": before.user} if before.home and not take_over else {}
    return new.model_copy(update=kept)


def note_about(runtime: Runtime, observed: ObservedEnvironment, about: About, tell: Listener) -> None:
    """Let an environment know something else of itself; a notice tells what no node shows.

    If it goes with a process, what watches that is started.

    Raises:
        Unavailable: that cannot be started.
    """
    if about != observed.about:
        runtime.write_about(observed.name, about)
        if observed.about and (told := ", ".join(_changes(observed.about, about))):
            tell(Notice(f"{observed.name}: {told}"))
    if about.owner_process:
        from provision.operations.gc import reaper

        reaper.start(Path(about.home))


def tell_expired(runtimes: Iterable[Runtime], tell: Listener) -> None:
    """A notice of the environments that are past their `ttl`, if there are any."""
    at_s = now_s()
    over = set[str]()
    for runtime in runtimes:
        with suppress(ProvisionError):  # it does not keep this environment's own runtime from its work
            over |= {name for name, about in runtime.abouts().items() if (about.expires_s or at_s) < at_s}
    if over:
        tell(Notice(f"past their ttl: {', '.join(sorted(over))}; `provision gc` removes them"))


def _changes(before: About, after: About) -> Iterator[str]:
    if before.ttl_s != after.ttl_s:
        yield "its ttl is none now" if after.ttl_s is None else f"its ttl is {duration_text(after.ttl_s)} now"
    if before.owner != after.owner:
        yield f"its owner is {after.owner or 'nobody'} now"
    if before.owner_process != after.owner_process:
        yield f"it goes with {after.owner_process}" if after.owner_process else "it goes with no process any more"
    if after.secrets and before.secrets and before.home != after.home:
        yield f"its secrets are in {after.home} now, no longer in {before.home}"


def is_of(observed: ObservedEnvironment, home: Path, owner: str) -> bool:
    """Whether an environment belongs to this home, and was made for that owner (empty: for nobody who was named).

    Processes are always this home's. Of containers that an earlier version created, nobody knows whose they are.
    """
    about = observed.about
    if observed.runtime != "process" and (about is None or (about.host, about.home) != (host_name(), str(home))):
        return False
    return (about.owner if about else "") == owner


def require_same(seen: ObservedEnvironment, now: ObservedEnvironment) -> None:
    """Refuse what has taken the place of an environment since it was seen; that it is gone is no reason.

    Raises:
        Refused: it was made anew, or somebody else's it is now.
    """
    if now.is_absent or _whose(seen) == _whose(now):
        return
    made_anew = _whose(seen)[0] != _whose(now)[0]
    why = (
        "it was made anew since it was listed"
        if made_anew
        else "it has another file, home or owner since it was listed"
    )
    raise Refused(f"{now.name} is left", why=why, hint=f"`provision down {now.name}` removes it")


def _whose(observed: ObservedEnvironment) -> tuple[float | None, str, str, str, str]:
    """When it was made, and to whom it belongs."""
    about = observed.about
    if about is None:
        return observed.created_s, "", "", "", ""
    return about.created_s, about.host, about.home, about.owner, about.file


def _path(source: Source) -> str:
    """The file's absolute path, with links as the user knows them; empty if there is no file."""
    return os.path.abspath(source.file) if source.file else ""  # noqa: PTH100 not resolved


def _is_same(about: About, source: Source) -> bool:
    path = _path(source)
    if not (about.file and path):
        return about.file == path
    if about.host != host_name():
        return False
    try:
        return about.file == path or Path(about.file).samefile(path)
    except OSError:
        return False


def _is_moved(about: About) -> bool:
    """Whether the file was on this machine, and is not there any more, as far as this user may see."""
    if not about.file or about.host != host_name():
        return False
    try:
        os.lstat(about.file)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.geteuid()) if hasattr(os, "geteuid") else ""
