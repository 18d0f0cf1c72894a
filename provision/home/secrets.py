"""Where the secrets of environments are: in the home that each belongs to.

An environment knows which secrets are its own by an identity that is no secret: neither the name of a machine, which
may change, nor a path, which may be there on another machine too, tells that.
"""

from pathlib import Path

from provision.common.process_identity import host_name
from provision.errors import ProvisionError, Refused
from provision.home.place import Home
from provision.plan.about import About
from provision.security.store import SecretStore


def known_secrets(name: str, about: About | None) -> SecretStore | None:
    """The secrets of an environment, by what it knows of itself; None if they are not on this machine.

    Raises:
        Refused: they may be, but another user could have put them there.
    """
    if about is None or not about.home or not Path(about.home).is_absolute():
        return None
    here = about.host == host_name()
    try:
        store = Home.at(Path(about.home)).secrets(name)
        identity = store.identity
    except ProvisionError:
        if here:
            raise
        return None
    if about.secrets and identity:
        return store if identity == about.secrets else None
    return store if here else None


def secrets_of(name: str, about: About | None, home: Home) -> SecretStore:
    """The same; those of an environment that knows of no home are in this one."""
    return known_secrets(name, about) or home.secrets(name)


def brought(store: SecretStore, home: Path) -> SecretStore:
    """A copy of secrets in the home that their environment belongs to from now on; they themselves if they are there.

    Raises:
        Refused: secrets of another environment are there.
        ProvisionError: they cannot be written.
    """
    there = Home.at(home).secrets(store.directory.name)
    if there.directory == store.directory or not store.is_there:
        return there
    if there.is_there and there.identity != store.identity:
        why = f"{store.directory} has those of this one"
        hint = f"if nobody needs them, remove {there.directory}; or use another home (PROVISION_HOME)"
        raise Refused(f"{there.directory} has secrets of another environment", why=why, hint=hint)
    there.keep({name: content for name in store.names if (content := store.read(name)) is not None})
    return there
