"""Where the secrets of an existing environment are: in the home that it belongs to."""

from pathlib import Path

from provision.common.process_identity import host_name
from provision.home.place import Home
from provision.plan.about import About
from provision.security.store import SecretStore


def known_secrets(name: str, about: About | None) -> SecretStore | None:
    """The secrets of an environment, by what it knows of itself; None if it has none on this machine."""
    if about is None or not about.home or about.host != host_name() or not Path(about.home).is_absolute():
        return None
    return Home.at(Path(about.home)).secrets(name)


def secrets_of(name: str, about: About | None, home: Home) -> SecretStore:
    """The same; those of an environment that knows of no home are in this one."""
    return known_secrets(name, about) or home.secrets(name)
