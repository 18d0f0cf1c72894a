"""What a client needs to get in, in the form in which each kind of client reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provision.catalogue.versions import keeps_users, version_of
from provision.cluster.model import Cluster
from provision.cluster.secured import file_of
from provision.common.values import replace
from provision.errors import Unavailable, UsageError
from provision.home.secrets import known_secrets
from provision.kafka.access import Access, Credentials
from provision.observe.reach import access_to, known_listeners, secured, security_of_nodes
from provision.operations.forms import FOR_JAVA, FORMS, INLINE, PASSWORD, VARIABLES, rdkafka, read_file
from provision.operations.stores import TYPE, stores_beside
from provision.plan.observed import ObservedEnvironment
from provision.security.listening import INTERNAL, base_of
from provision.security.material import USERS
from provision.security.profiles import ITSELF, PLAIN, Profile

_PASSWORD_FILE = "KAFKA_SASL_PASSWORD_FILE"  # noqa: S105 its name
CLIENT_VARIABLES = (*VARIABLES.values(), _PASSWORD_FILE)
"""The environment variables that tell a client how to get in."""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """A client's configuration, and whether it has a key or a password in it.

    `files` were written for it. It refers to those of `mounts`, which a client has that is not on this machine only if
    they are mounted where it is.
    """

    text: str = field(repr=False)
    secret: bool
    files: tuple[Path, ...] = ()
    mounts: tuple[Path, ...] = ()


def client_config(
    observed: ObservedEnvironment,
    form: str,
    user: str = "",
    inside: Mapping[int, str] | None = None,
    *,
    listener: str = "",
    stores: Path | None = None,
) -> ClientConfig:
    """How a user's client gets in.

    Args:
        observed: the environment.
        form: one of `FORMS`.
        user: the user; empty where nobody says who they are.
        inside: the brokers' addresses inside the environment's network, if the client is there: then what it needs of
            files is in the form itself, where the client reads that.
        listener: the listener; empty for the first one that fits.
        stores: for a Java client, the file beside which PKCS #12 stores are written, to which the form then refers.

    Raises:
        UsageError: there is no such form, user or listener, a user must be named, that client reads no stores, or they
            cannot be written.
        Unavailable: no broker is running, or its secrets are not on this machine.
        Refused: in the place of a store is one that was not written so, or a link.
    """
    if form not in FORMS:
        raise UsageError(f"there is no format {form!r}", hint=f"known: {', '.join(FORMS)}")
    if inside is not None and listener.upper() not in ("", INTERNAL):
        hint = f"leave --inside or --listener out: clients in its network use {INTERNAL}"
        raise UsageError(f"{listener} is a listener for clients on this machine", hint=hint)
    access = access_as(observed, user, INTERNAL if inside is not None else listener)
    if inside is not None:
        access = access.to(inside)
    if stores is not None:
        return _with_stores(observed.name, access, form, user, stores)
    apart = inside is not None
    text = (INLINE if apart and form in INLINE else FORMS)[form](access)
    named = (access.ca, access.certificate) if apart and form not in INLINE else ()
    mounts = tuple(Path(file) for file in named if file)
    return ClientConfig(text, secret=access.credentials is not None or "PRIVATE KEY" in text, mounts=mounts)


def require_brokers(observed: ObservedEnvironment, access: Access) -> Access:
    """Access to brokers of which one at least may answer.

    Raises:
        Unavailable: there is none.
    """
    if access.brokers:
        return access
    hint = f"`provision status {observed.name}` shows its nodes"
    raise Unavailable(f"no broker of {observed.name} can be reached", why=access.why_down, hint=hint)


def access_for(observed: ObservedEnvironment, user: str = "", listener: str = "") -> Access:
    """How a user gets in, or, if none is named, this program; raises as `client_config`."""
    if user:
        return access_as(observed, user, listener)
    return access_to(observed, required_listener(observed, listener) if listener else "")


def access_as(observed: ObservedEnvironment, user: str, listener: str = "") -> Access:
    """How a user gets in, from this machine; raises as `client_config`.

    With INTERNAL as the listener, that is how a user gets in inside, but with the addresses of this machine.
    """
    name = listener if listener == INTERNAL else required_listener(observed, listener) if listener else ""
    security, known = security_of_nodes(observed), known_listeners(observed)
    if not name and known:
        name = _first_that_fits(known, user)
    profile = security.internal if name == INTERNAL else known.get(name, security.internal)
    access = access_inside(observed) if name == INTERNAL else access_to(observed, name)
    require_brokers(observed, access)
    if not profile.knows_users:
        if user:
            raise _nobody_says(profile, name if len(known) > 1 or name == INTERNAL else "")
        return access
    return _as_user(observed, access, user, profile, known)


def _first_that_fits(known: Mapping[str, Profile], user: str) -> str:
    """Whoever has a name wants to be known, and whoever has none cannot be."""
    return next((name for name, profile in known.items() if profile.knows_users or not user), next(iter(known)))


def _nobody_says(profile: Profile, listener: str) -> UsageError:
    where = f" at its listener {base_of(listener)}" if listener else ""
    return UsageError(f"with security: {profile.name}{where} nobody says who they are", hint="leave the user out")


def require_way_in(cluster: Cluster, user: str, listener: str) -> None:
    """Refuse, before a cluster is started, what `access_as` would refuse of its users and listeners.

    Raises:
        UsageError: it will not have that listener or user, or a user must be named.
    """
    known = dict(cluster.listening.host)
    name = _listener_among(cluster.name, known, listener) if listener else _first_that_fits(known, user)
    profile = known[name]
    if user and not profile.knows_users:
        raise _nobody_says(profile, name if len(known) > 1 else "")
    users = [one.name for one in cluster.users]
    if profile.knows_users and user not in users:
        raise _not_known(cluster.name, user, users, known)


def access_inside(observed: ObservedEnvironment, user: str = "") -> Access:
    """How a user, or this program, gets in inside the environment, but with the addresses of this machine."""
    if user:
        return access_as(observed, user, INTERNAL)
    access = access_to(observed)
    return secured(
        observed, security_of_nodes(observed).internal, Access(access.brokers, down=access.down, proxy=access.proxy)
    )


def required_listener(observed: ObservedEnvironment, listener: str) -> str:
    """The listener for clients on this machine that is called so, in whatever case.

    Raises:
        UsageError: there is none.
    """
    return _listener_among(observed.name, known_listeners(observed), listener)


def _listener_among(environment: str, known: Mapping[str, Profile], listener: str) -> str:
    name = listener.upper()
    name = next((one for one in known if base_of(one) == name), name)
    if known and name not in known:
        hint = f"it has {', '.join(dict.fromkeys(map(base_of, known)))}"
        hint += "; for clients in its network, use --inside" if name == INTERNAL else ""
        raise UsageError(f"{environment} has no listener {listener} for clients on this machine", hint=hint)
    return name


def _as_user(
    observed: ObservedEnvironment, access: Access, user: str, profile: Profile, known: Mapping[str, Profile]
) -> Access:
    secrets = known_secrets(observed.name, observed.about)
    suffix = ".password" if profile.mechanism else ".pem"
    found = sorted(path.name for path in secrets.directory.glob(f"{USERS}*{suffix}")) if secrets else []
    users = [name.removeprefix(USERS).removesuffix(suffix) for name in found]
    if secrets is None or user not in users:
        raise _not_known(observed.name, user, users, known)
    if profile.mechanism:
        password = secrets.password(file_of(user))
        return replace(access, credentials=_credentials(observed, profile, user, password))
    return replace(access, certificate=str(secrets.path(f"{file_of(user)}.pem")))


def _not_known(environment: str, user: str, users: Sequence[str], known: Mapping[str, Profile]) -> UsageError:
    what = f"{environment} has no user {user}" if user else f"{environment} wants to know who its clients are"
    if user == ITSELF:
        what = f"{ITSELF} is the account of the nodes of {environment} and of this program, and of no client"
    hint = f"--user {' or '.join(users)}" if users else "name one in the file's `users`, and `provision up` makes it"
    open_ones = [base_of(name) for name, one in known.items() if not one.knows_users]
    hint += f"; or --listener {' or '.join(open_ones)}" if open_ones and not user else ""
    return UsageError(what, hint=hint)


def _credentials(observed: ObservedEnvironment, profile: Profile, user: str, password: str) -> Credentials:
    """By which mechanism a user gets in: one of SCRAM's if the cluster keeps the user, else PLAIN where that is taken.

    Raises:
        UsageError: neither is the case.
        Unavailable: no broker answers.
    """
    from provision.kafka.scram import describe_scram, is_let_in

    by_plain = Credentials(PLAIN, user, password) if PLAIN in profile.users_by else None
    kept = profile.scram and keeps_users(version_of(observed.version), observed.mode)
    if by_plain and not kept:
        return by_plain
    access = access_to(observed)
    if mechanisms := describe_scram(access).get(user, {}):
        return Credentials(max(mechanisms), user, password)
    if by_plain and is_let_in(access, by_plain):  # else somebody has removed it from the cluster, or `up` has not ended
        return by_plain
    raise UsageError(f"the cluster does not know the user {user}", hint="`provision up` makes the file's users")


def _with_stores(environment: str, access: Access, form: str, user: str, file: Path) -> ClientConfig:
    """A form that refers to stores, which are written."""
    if form not in FOR_JAVA:
        hint = f"use --format {' or '.join(FOR_JAVA)}, or leave --store out"
        raise UsageError(f"the format {form} is for clients that read no {TYPE} stores", hint=hint)
    if not access.ca:
        what = f"this listener of {environment} has no TLS, so that there is nothing to store"
        raise UsageError(what, hint="leave --store out")
    pair = read_file(access.certificate).encode() if access.certificate else None
    stores = stores_beside(file, read_file(access.ca).encode(), user, pair)
    text = FOR_JAVA[form](access, stores)
    return ClientConfig(text, secret=True, files=tuple(stores.write()))


def client_variables(observed: ObservedEnvironment, user: str = "", listener: str = "") -> Mapping[str, str]:
    """How a user's client gets in, as environment variables, which whoever reads a process can see.

    They are those of the form `env`, but for a password, of which they have the path of the file; raises as
    `client_config`.
    """
    access = access_as(observed, user, listener)
    found = {VARIABLES[key]: value for key, value in rdkafka(access) if key != PASSWORD}
    secrets = known_secrets(observed.name, observed.about)
    if access.credentials and secrets:
        found[_PASSWORD_FILE] = str(secrets.path(f"{file_of(user)}.password"))
    return found
