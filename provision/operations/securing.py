"""The keys, certificates and passwords of an environment that is planned."""

import os
from pathlib import Path

from provision.cluster.model import Cluster, User
from provision.cluster.secured import file_of, subjects, with_passwords
from provision.common.counts import counted
from provision.common.whole_files import read_whole
from provision.errors import UsageError
from provision.home.place import Home
from provision.home.secrets import secrets_of
from provision.plan.observed import ObservedEnvironment
from provision.security.certificates import SOON_DAYS, shown
from provision.security.material import Material, Rotation, material
from provision.security.profiles import PROFILES, Profile

_LONGEST_BYTES = 1024


def material_of(
    cluster: Cluster, observed: ObservedEnvironment, home: Home, rotation: Rotation | None = None
) -> Material:
    """What its nodes need: what is kept, and new ones, in memory only, for what is missing, or rotated.

    Raises:
        Refused: its nodes exist, and trust what is not kept here.
        UsageError: a user's password is not where the file says.
    """
    store = secrets_of(cluster.name, observed.about, home)
    given = {user.name: _password(user) for user in cluster.users}
    passwords = {file_of(user): given.get(user) for user in with_passwords(cluster)}
    exists = _is_trusted(observed, PROFILES[cluster.security])
    return material(store, cluster.name, subjects(cluster), passwords, exists=exists, rotation=rotation)


def _is_trusted(observed: ObservedEnvironment, profile: Profile) -> bool:
    """Whether it has nodes that trust an authority, or the environment's own password, as that profile needs it."""
    alive = [node for node in observed.nodes if node.needs_stop]
    names = {name for node in alive for name in node.open_ways}
    if alive and not names and observed.about:  # only controllers
        names = {observed.about.security}
    there = [PROFILES[name] for name in names & PROFILES.keys()]
    return any(one.encrypted if profile.encrypted else bool(one.mechanism) for one in there)


def warning_of(cluster: Cluster, made: Material) -> str:
    """That the authority ends soon, which `up` does not make anew; empty if it does not."""
    days = min((one.days_left() for one in shown(made.authority)), default=SOON_DAYS) if made.authority else SOON_DAYS
    if days >= SOON_DAYS:
        return ""
    when = f"ends in {counted('day', days)}" if days >= 0 else "has ended"
    return (
        f"the authority of {cluster.name}'s certificates {when}: `provision certs rotate {cluster.name}` makes another"
    )


def _password(user: User) -> str | None:
    """The password that the file tells of; None if it tells of none."""
    if user.variable:
        found, where = os.environ.get(user.variable, ""), f"the environment variable {user.variable}"
        hint = f"export {user.variable}, or leave `password` out: then one is made"
    elif user.file:
        found, where, hint = _first_line(user), user.file, "write it into the file's first line"
    else:
        return None
    if not found:
        raise UsageError(f"{where} has no password for the user {user.name}", hint=hint)
    if not found.isprintable():
        raise UsageError(f"the password in {where} has a control character, which Kafka cannot read")
    return found


def _first_line(user: User) -> str:
    try:
        content = read_whole(Path(user.file), _LONGEST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not valid UTF-8"
        raise UsageError(f"the password of {user.name} cannot be read from {user.file}", why=why) from error
    return content.partition("\n")[0].removesuffix("\r")
