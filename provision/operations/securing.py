"""The keys, certificates and passwords of an environment that is planned."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from provision.catalogue.versions import ZOOKEEPER
from provision.cluster.model import AuthorityFiles, Cluster, RenderedFile, Role, User
from provision.cluster.secured import ensemble_subjects, file_of, secret_files, subjects, with_passwords
from provision.common import told_passwords
from provision.common.counts import counted
from provision.common.texts import has_controls, is_text
from provision.common.whole_files import read_named
from provision.errors import Refused, UsageError
from provision.home.place import Home
from provision.home.secrets import secrets_of
from provision.observe.reach import security_of_nodes
from provision.plan.listing import listed
from provision.plan.observed import ObservedEnvironment, ObservedNode
from provision.runtime.base import Runtime
from provision.security import ensemble
from provision.security.certificates import SOON_DAYS, shown
from provision.security.given import KEY, BadAuthority, GivenAuthority, given_authority
from provision.security.listening import Security
from provision.security.material import AUTHORITY_KEY, Material, Rotation, material
from provision.security.profiles import CONTROLLER, ITSELF, PROFILES, TRUSTSTORE, Profile
from provision.security.store import SecretStore
from provision.spec.certificates import LARGEST

_LONGEST_BYTES = 1024


def material_of(
    cluster: Cluster, observed: ObservedEnvironment, home: Home, runtime: Runtime, rotation: Rotation | None = None
) -> Material:
    """What its nodes need: what is kept, and new ones, in memory only, for what is missing, or rotated.

    Raises:
        Refused: its nodes exist, and trust what is not kept here.
        UsageError: a user's password is not where the file says.
    """
    store = secrets_of(cluster.name, observed.about, home, runtime.place)
    _require_kept(observed, store, runtime)
    return material_in(store, cluster, rotation, running=any(node.needs_stop for node in observed.nodes))


def material_in(
    store: SecretStore, cluster: Cluster, rotation: Rotation | None = None, *, running: bool = False
) -> Material:
    """What nodes need, by what a store keeps; `running` is whether they run.

    Raises:
        UsageError: a user's password is not where the file says.
    """
    given = {user.name: _password(user) for user in cluster.users}
    passwords = {file_of(user): given.get(user) for user in with_passwords(cluster)}
    return material(
        store,
        cluster.name,
        subjects(cluster),
        passwords,
        ensemble=ensemble_subjects(cluster),
        rotation=rotation,
        given=authority_in(cluster.authority) if cluster.authority else None,
        running=running,
    )


def authority_in(files: AuthorityFiles) -> GivenAuthority:
    """The authority that the file names.

    Raises:
        UsageError: its files have become unusable since they were checked.
    """
    key, certificates = (_content(Path(file)) for file in (files.key, files.certificate))
    try:
        return given_authority(key, certificates)
    except BadAuthority as error:
        file = files.key if error.file == KEY else files.certificate
        raise UsageError(f"{file} {error.reason}", hint=error.hint) from error


def _content(file: Path) -> bytes:
    try:
        return read_named(file, LARGEST)
    except OSError as error:
        raise UsageError(f"{file} cannot be read", why=error.strerror or str(error)) from error


def _require_kept(observed: ObservedEnvironment, store: SecretStore, runtime: Runtime) -> None:
    """Refuse to make anew what running nodes trust, which would lock everybody out."""
    if not any(node.needs_stop for node in observed.nodes):
        return
    before, there = security_of_nodes(observed), _profiles(observed)
    encrypted, mechanism = any(one.encrypted for one in there), any(one.mechanism for one in there)
    needed = {AUTHORITY_KEY: encrypted, f"{ITSELF}.password": mechanism}
    lost = [name for name, is_needed in needed.items() if is_needed and not store.read(name)]
    of_ensemble = f"{ensemble.PREFIX}{AUTHORITY_KEY}"
    if ensemble.closes(before) and not store.read(of_ensemble) and _trust_an_ensemble(observed, runtime):
        lost.append(of_ensemble)
    others = store.identity and observed.about and observed.about.secrets not in ("", store.identity)
    if lost or others:
        why = "those there are of another environment" if others else f"{listed(lost)} is missing"
        hint = f"use the home that made it, or `provision down {observed.name}` and `up` again"
        what = f"the secrets of {observed.name} are not in {store.directory}"
        raise Refused(what, why=f"its nodes trust only what was made with them; {why}", hint=hint)


def _profiles(observed: ObservedEnvironment) -> Iterable[Security | Profile]:
    """How its running nodes are secured, which on the way to another security they may not be as it is noted."""
    noted = security_of_nodes(observed)
    ways = {way for node in observed.of_role(Role.BROKER) if node.needs_stop for way in node.open_ways}
    return [PROFILES[way] for way in ways if way in PROFILES] if noted.is_uniform and ways else [noted]


def _trust_an_ensemble(observed: ObservedEnvironment, runtime: Runtime) -> bool:
    """Whether running nodes trust an authority of ZooKeeper's: older versions of provision have left it open."""
    nodes = [node for node in observed.nodes if node.needs_stop]
    files = (runtime.read_files(observed.name, node.name) for node in nodes if observed.mode == ZOOKEEPER)
    return any(file.name == ensemble.TRUSTSTORE for of_node in files for file in of_node)


def require_rotated(cluster: Cluster, observed: ObservedEnvironment, begun: Material, runtime: Runtime) -> None:
    """Refuse to end a rotation that has not reached all nodes: the others trust nothing but the old authority.

    Args:
        cluster: the desired cluster.
        observed: its nodes.
        begun: what they have once the rotation has reached them.
        runtime: where they are.

    Raises:
        Refused: names those that have something else.
    """
    wanted: dict[str, dict[str, RenderedFile]] = {}
    for file in secret_files(cluster, begun):
        wanted.setdefault(file.node, {})[file.name] = file
    behind = []
    for node in observed.nodes:
        expected = wanted.get(node.name) or _trusting(cluster, node, begun)
        has = {file.name: file for file in runtime.read_files(cluster.name, node.name)} if expected else {}
        if any(name not in has or not has[name].is_same(file) for name, file in expected.items()):
            behind.append(node.name)
    if behind:
        what = f"the rotation of the certificates of {cluster.name} has not reached {listed(behind)}"
        hint = f"`provision up` continues it; then `provision certs rotate {cluster.name} --finish`"
        raise Refused(what, why="without the old authority, these and the others would not trust each other", hint=hint)


def _trusting(cluster: Cluster, node: ObservedNode, made: Material) -> dict[str, RenderedFile]:
    """What a node trusts that is no longer in the file."""
    at = [CONTROLLER] if node.role == Role.CONTROLLER else []
    trusts = node.role != Role.ZOOKEEPER and cluster.listening.at(at).encrypted
    kafka = {TRUSTSTORE: made.authority_of_nodes} if trusts else {}
    members = {} if node.role == Role.CONTROLLER else {ensemble.TRUSTSTORE: made.ensemble_authority}
    found = {name: content for name, content in {**kafka, **members}.items() if content}
    return {name: RenderedFile(node.name, name, content, secret=True) for name, content in found.items()}


def warnings_of(cluster: Cluster, made: Material, rotation: Rotation | None = None) -> Iterator[str]:
    """What `up` does not mend: an authority that ends soon, and certificates of users who are no longer in the file.

    Also that a rotation is still to be finished which another authority in the file has begun, and which users get new
    certificates because theirs end.
    """
    if validity := _validity(cluster, made):
        yield validity
    if made.is_rotating and cluster.authority and not rotation:
        yield (
            f"the old authority of {cluster.name}'s certificates is trusted beside the file's until "
            f"`provision certs rotate {cluster.name} --finish`"
        )
    for user, days in made.renewed.items() if not rotation else ():
        when = f"ends in {counted('day', days)}" if days >= 0 else "has ended"
        yield (
            f"the certificate of the user {user} {when}: with this `up` there is a new one, which the user's clients "
            f"need (`provision certs export {cluster.name} --user {user}`)"
        )
    users = {user.name for user in cluster.users}
    if (gone := [user for user in made.certified_before if user not in users]) and not rotation:
        until = "another authority is in the file's `certificates`"
        yield (
            f"no longer in the file, and refused by name: {listed(gone)}; what certificates they have stays valid, for "
            f"the case that the name comes back, until {until if cluster.authority else _rotate(cluster)}"
        )


def _rotate(cluster: Cluster) -> str:
    return f"`provision certs rotate {cluster.name}`"


def _validity(cluster: Cluster, made: Material) -> str:
    """That an authority is not valid, or not much longer; empty if they are."""
    another = f"{_rotate(cluster)} makes another"
    of_file = "name another one in the file's `certificates`" if cluster.authority else another
    found = (
        _ends(cluster, made.present_authority(), of_file),
        _ends(cluster, made.present_authority(ensemble.PREFIX), another),
    )
    return next(filter(None, found), "")


def _ends(cluster: Cluster, authority: bytes, mends: str) -> str:
    trusted = shown(authority) if authority else []
    if begins := [one.begins for one in trusted if not one.has_begun()]:
        when = f"{max(begins):%Y-%m-%d %H:%M} UTC: this machine's clock is wrong, or was when it was made"
        return f"the authority of {cluster.name}'s certificates is not valid before {when}; {mends}"
    days = min((one.days_left() for one in trusted), default=SOON_DAYS)
    if days >= SOON_DAYS:
        return ""
    when = f"ends in {counted('day', days)}" if days >= 0 else "has ended"
    return f"the authority of {cluster.name}'s certificates {when}: {mends}"


def _password(user: User) -> str | None:
    """The password that the file tells of; None if it tells of none.

    What leads to nothing is not shown: it may be the password itself (`provision.spec.shown`).
    """
    if user.variable and user.variable not in os.environ:
        what = f"the environment variable that the file names for the password of {user.name} is not set"
        raise UsageError(what, hint="export it, or leave `password` out: then one is made")
    if user.variable:
        found, where = os.environ[user.variable], f"the environment variable {user.variable}"
        hint = "set it to one, or leave `password` out: then one is made"
    elif user.file:
        found, where, hint = _first_line(user), user.file, "write it into the file's first line"
    else:
        return None
    if not found:
        raise UsageError(f"{where} has no password for the user {user.name}", hint=hint)
    if not is_text(found) or has_controls(found) or len(found.splitlines()) > 1:
        raise UsageError(f"the password in {where} has a control character, which Kafka cannot read")
    told_passwords.note(found)
    return found


def _first_line(user: User) -> str:
    try:
        content = read_named(Path(user.file), _LONGEST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not valid UTF-8"
        where = user.file if Path(user.file).exists() else "the file that is named for it"
        raise UsageError(f"the password of {user.name} cannot be read from {where}", why=why) from error
    return content.partition("\n")[0].removesuffix("\r")
