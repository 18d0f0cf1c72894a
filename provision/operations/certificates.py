"""The certificates of an environment: what they say, and copies for clients."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from provision.cluster.secured import file_of
from provision.common.counts import counted
from provision.errors import Unavailable, UsageError
from provision.home.secrets import known_secrets
from provision.observe.ensemble import way_to
from provision.observe.reach import security_of_nodes
from provision.operations.stores import stores_in, write_below
from provision.plan.observed import ObservedEnvironment
from provision.security.certificates import SOON_DAYS, Shown, parts, shown
from provision.security.ensemble import PREFIX
from provision.security.material import AUTHORITY, USERS, Authority
from provision.security.profiles import ITSELF
from provision.security.store import SecretStore

PEM, PKCS12 = "pem", "pkcs12"
_AUTHORITIES = ("authority", "zookeeper authority")
_ORDER = (
    "authority",
    "old authority",
    "node",
    "provision",
    "user",
    "zookeeper authority",
    "old zookeeper authority",
    "zookeeper",
)


class Certificate(Struct, frozen=True):
    """A certificate that is kept: whose it is, and what it says."""

    kind: str
    name: str
    says: Shown

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "issuer": self.says.issuer,
            "names": list(self.says.names),
            "ends": self.says.ends.isoformat(),
            "days_left": self.says.days_left(),
        }


def certificates(observed: ObservedEnvironment) -> list[Certificate]:
    """All of an environment's: its authority's, during a rotation also the old one's, then its nodes' and users'.

    Those by which ZooKeeper lets in its nodes and the brokers come last. There are none without TLS.

    Raises:
        Unavailable: they are not on this machine, or damaged.
    """
    if not _has_any(observed) and not way_to(observed).closed:
        return []
    store = _store(observed)
    found: list[Certificate] = []
    for file in sorted(store.directory.glob("*.pem")):
        kind, name = _whose(file.stem)
        said = _read(store, file.name)
        if kind in _AUTHORITIES:
            present = Authority.kept(store, PREFIX if file.stem.startswith(PREFIX) else "")
            own = len(parts(present.own)) if present else 1
            found += [Certificate(kind if n < own else f"old {kind}", one.subject, one) for n, one in enumerate(said)]
        else:
            found.append(Certificate(kind, name, said[0]))
    return sorted(found, key=lambda one: (_ORDER.index(one.kind), one.name))


def _whose(stem: str) -> tuple[str, str]:
    """The kind and the name of the owner of a file, by what it is called."""
    if stem.startswith(PREFIX):
        name = stem.removeprefix(PREFIX)
        return ("zookeeper authority" if f"{name}.pem" == AUTHORITY else "zookeeper"), name
    if stem.startswith(USERS):
        return "user", stem.removeprefix(USERS)
    return ("authority" if f"{stem}.pem" == AUTHORITY else "provision" if stem == ITSELF else "node"), stem


def export(observed: ObservedEnvironment, directory: Path, user: str = "", form: str = PEM) -> list[Path]:
    """Copy what a client needs into a directory: the authority's certificate, and a user's key and certificate.

    Files of a user begin with `user-`, so that none is taken for the authority's. Each store in the format PKCS12 has a
    password, in a file beside it, which it keeps when it is written again.

    Args:
        observed: the environment.
        directory: where the files are written; made if it is missing.
        user: whose key and certificate, where users have one.
        form: `PEM` or `PKCS12`.

    Returns:
        The files that were written; only this user can read those with a key or a password.

    Raises:
        UsageError: it has no certificates, the user has none, there is no such format, or the files cannot be written.
        Refused: in their place is a link, or a store that was not written so.
    """
    if form not in (PEM, PKCS12):
        raise UsageError(f"there is no format {form!r}", hint=f"known: {PEM}, {PKCS12}")
    if not _has_any(observed):
        raise UsageError(f"{observed.name} has no certificates", why="its security has no TLS")
    store = _store(observed)
    pair = store.read(f"{file_of(user)}.pem") if user else None
    if user and (pair is None or user == ITSELF):
        known = [one.name for one in certificates(observed) if one.kind == "user"]
        hint = f"--user {' or '.join(known)}" if known else "with `security: mtls`, users have certificates"
        raise UsageError(f"{observed.name} has no certificate of a user {user}", hint=hint)
    trusted = store.read(AUTHORITY) or b""
    name = file_of(user)
    if form == PKCS12:
        return stores_in(directory, trusted, name, pair).write()
    return write_below(directory, {AUTHORITY: trusted, **({f"{name}.pem": pair} if pair else {})})


def ends_soon(observed: ObservedEnvironment) -> str:
    """That certificates of an environment end soon, and what to do; empty if none does.

    Of those that are not on this machine, nothing is said here: who needs them is told where they are.
    """
    try:
        return ends_of(observed.name, certificates(observed))
    except Unavailable:
        return ""


def ends_of(name: str, found: Sequence[Certificate]) -> str:
    """That some of an environment's certificates end soon or have ended, and what to do; empty if none does."""
    ending = [one for one in found if one.says.days_left() < SOON_DAYS]
    if not ending:
        return ""
    what = counted("certificate", len(ending))
    ended = sum(one.says.days_left() < 0 for one in ending)
    already = f", {ended} of them already" if ended else ""
    return f"{what} will have ended in {SOON_DAYS} days{already}: {mends(name, [one.kind for one in ending])}"


def mends(name: str, ending: Collection[str]) -> str:
    """What to do about certificates of these kinds that end."""
    rotate = f"`provision certs rotate {name}"
    if "authority" in ending:
        return f"{rotate}` makes another authority, unless the file's `certificates` names one: then name another"
    if "zookeeper authority" in ending:
        return f"{rotate}` makes another authority"
    if any(kind.startswith("old") for kind in ending):
        return f"{rotate} --finish` ends the trust in the old authority; give clients the new files before"
    return f"`provision up {name}` makes new ones"


def _has_any(observed: ObservedEnvironment) -> bool:
    return security_of_nodes(observed).encrypted


def _store(observed: ObservedEnvironment) -> SecretStore:
    store = known_secrets(observed.name, observed.about)
    if store is None or not store.is_there:
        where = f"{observed.about.home} on {observed.about.host}" if observed.about else ""
        raise Unavailable(f"the certificates of {observed.name} are in {where}, not here")
    return store


def _read(store: SecretStore, name: str) -> list[Shown]:
    content = store.read(name) or b""
    begin = content.find(b"-----BEGIN CERTIFICATE-----")
    try:
        return shown(content[max(begin, 0) :])
    except ValueError as error:
        raise Unavailable(f"{store.path(name)} is damaged", why="it has no certificate that can be read") from error
