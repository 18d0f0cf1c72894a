"""Where the secrets of environments are: in the home that each belongs to.

An environment knows which secrets are its own by an identity that is no secret: neither the name of a machine, which
may change, nor a path, which may be there on another machine too, tells that.
"""

import hashlib
import os
from pathlib import Path

from pydantic import Field

from provision.common.notes import DamagedNote, Note, parse_note
from provision.common.process_identity import host_name
from provision.errors import ProvisionError, Refused
from provision.home.place import Home
from provision.plan.about import About
from provision.security.store import SecretStore

WHERE = "where.json"


class Where(Note):
    """Where an environment is: the places of runtimes, and the user's directory with its data, if any.

    There are several places if older versions let environments of different engines have the same secrets.
    """

    places: list[str] = Field(default_factory=list)
    storage: str = ""

    @classmethod
    def of(cls, store: SecretStore) -> "Where":
        """As it is noted; nowhere if that is damaged, or was never noted."""
        try:
            return parse_note(store.read(WHERE) or b"{}", cls)
        except DamagedNote:
            return cls()


def note_where(store: SecretStore, place: str, storage: str) -> None:
    """Note with secrets that an environment at the place of a runtime uses them, and the directory of its data.

    Raises:
        ProvisionError: it cannot be written.
    """
    places = sorted({*Where.of(store).places, place})
    store.keep({WHERE: Where(places=places, storage=storage).model_dump_json().encode()})
    os.utime(store.directory)  # `gc` leaves alone what was used just now


def forget_at(store: SecretStore, place: str) -> None:
    """Remove the secrets of an environment that is gone from a place, unless there is one of its name elsewhere.

    Raises:
        ProvisionError: they cannot be removed.
    """
    noted = Where.of(store)
    if left := [one for one in noted.places if one != place]:
        store.keep({WHERE: noted.model_copy(update={"places": left}).model_dump_json().encode()})
    else:
        store.forget()


def known_secrets(name: str, about: About | None) -> SecretStore | None:
    """The secrets of an environment, by what it knows of itself; None if they are not on this machine.

    Raises:
        Refused: they may be, but another user could have put them there.
    """
    if about is None or not about.home or not Path(about.home).is_absolute():
        return None
    here = about.host == host_name()
    try:
        stores = {store.identity: store for store in reversed(Home.at(Path(about.home)).all_secrets(name))}
    except ProvisionError:
        if here:
            raise
        return None
    if about.secrets and about.secrets in stores:
        return stores[about.secrets]
    first = Home.at(Path(about.home)).secrets(name)
    return first if here and not (about.secrets and first.identity) else None


def secrets_of(name: str, about: About | None, home: Home, place: str) -> SecretStore:
    """The same; those of an environment that knows of no home are in this one, by the place of its runtime.

    Where there is an environment of that name at another place, it has a directory of its own.
    """
    known = known_secrets(name, about) if about and about.secrets else None
    return known or _at_place(home if about is None or not about.home else Home.at(Path(about.home)), name, place)


def _at_place(home: Home, name: str, place: str) -> SecretStore:
    places = {store: Where.of(store).places for store in home.all_secrets(name)}
    first = home.secrets(name)
    of_place = next((store for store, noted in places.items() if place in noted), None)
    if of_place or not places[first]:
        return of_place or first
    return SecretStore(first.directory.with_name(f"{name}.{hashlib.sha256(place.encode()).hexdigest()[:8]}"))


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
    there.keep({name: content for name in store.names - {WHERE} if (content := store.read(name)) is not None})
    return there
