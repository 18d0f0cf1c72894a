"""How the listeners of running nodes are secured that are to be secured otherwise. Pure.

What nodes run with is seen: from their marks, which have the listeners for this machine, and from their files, which
have those that only nodes use. What an earlier command noted says only where it wanted to go.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from provision.cluster.model import RenderedFile, Role
from provision.plan.closing import settings_of
from provision.plan.observed import ObservedEnvironment, ObservedNode
from provision.security.listening import HOST, INTERNAL, Security, base_of, security_in
from provision.security.profiles import CONTROLLER, PROFILES, Profile, is_controller

BETWEEN, OF_CONTROLLERS = "inter.broker.listener.name", "controller.listener.names"
Files = Mapping[str, Sequence[RenderedFile]]


class Former(Struct, frozen=True):
    """What running nodes have, beside what is wanted, as far as it is another one.

    `mixed` are profiles of one listener, if there are several: then an earlier change has not ended.
    """

    security: Security
    mixed: tuple[str, ...] = ()


def needs_a_look(observed: ObservedEnvironment, wanted: Security) -> bool:
    """Whether nodes may have other listeners than the wanted ones, as far as it is known without their files."""
    about = observed.about
    noted = security_in(about.security if about else "")
    if noted != wanted or wanted.is_secured or (about and about.secrets):
        return any(node.needs_stop for node in observed.nodes)
    return bool(_others(_for_this_machine(observed), wanted))


def former(observed: ObservedEnvironment, files: Files, wanted: Security) -> Former | None:
    """How running nodes are secured that are not, or not only, secured as it is wanted; None if there is nothing else.

    Args:
        observed: what the runtime has.
        files: the present files of its brokers and controllers.
        wanted: how listeners are to be secured.
    """
    settings = [settings_of(files, node.name) for node in observed.nodes if node.needs_stop]
    opened = list(dict.fromkeys(name for one in settings for name in listeners_in(one)))
    here = _for_this_machine(observed)
    others = _others(here, wanted)
    internal = [name for name in opened if base_of(name) == INTERNAL]
    # On one machine, brokers may use a listener of clients' between them.
    shared = [name for one in settings if (name := one.get(BETWEEN, "")) and base_of(name) != INTERNAL]
    given_up = [name for name in dict.fromkeys(shared) if wanted.apart or name != wanted.named(HOST)]
    given_up += [name for name in internal if name != wanted.named(INTERNAL)]
    between = [profile for name in given_up if (profile := _profile_of(name, here))]
    voting = [name for name in opened if is_controller(name)]
    voted = [name for name in voting if name != wanted.named(CONTROLLER)]
    if not (others or between or voted):
        return None
    stay = [] if any(base_of(name) != INTERNAL for name in given_up) else _on_all(observed, wanted)
    host = {base_of(name): PROFILES[profile] for name, profile in ([*stay, *others] or here)} or dict(wanted.host)
    own = between[0] if between else wanted.internal if internal else next(iter(host.values()))
    controllers = _of_controllers((voted or voting or [own.named(CONTROLLER)])[0], own)
    return Former(Security(tuple(host.items()), own, controllers), _mixed(others, between))


def listeners_in(settings: Mapping[str, str]) -> dict[str, int]:
    """The names of the listeners that a broker or controller opens, with its own ports; 0 for one that is unknown."""
    parted = (one.partition("://") for one in settings.get("listeners", "").split(",") if one)
    ports = ((name.strip(), address.rpartition(":")[2].strip()) for name, _, address in parted)
    return {name: int(port) if port.isdecimal() else 0 for name, port in ports}


def first_of(names: str) -> str:
    """The first of several names of listeners, which is the one that is used."""
    return names.partition(",")[0].strip()


def differing(one: Security, other: Security, *, kraft: bool) -> str:
    """What one of two is, in a few words: the profile of all listeners, or of those that the other one has not.

    Empty if the other one has all of them.
    """
    if one.is_uniform and other.is_uniform:
        return one.name
    nodes = [(INTERNAL, one.internal), *([(CONTROLLER, one.controllers)] if kraft else [])]
    has = {*other.host, (INTERNAL, other.internal), (CONTROLLER, other.controllers)}
    found = [pair for pair in (*one.host, *nodes) if pair not in has]
    return " ".join(f"{name}={profile.name}" for name, profile in found)


def _for_this_machine(observed: ObservedEnvironment) -> list[tuple[str, str]]:
    """The listeners for clients on this machine that running brokers have, with their profiles."""
    brokers: Iterable[ObservedNode] = (node for node in observed.of_role(Role.BROKER) if node.needs_stop)
    return list(dict.fromkeys((one.name, one.security) for node in brokers for one in node.ways))


def _others(here: Collection[tuple[str, str]], wanted: Security) -> list[tuple[str, str]]:
    staying = {(wanted.named(name), profile.name) for name, profile in wanted.host}
    return [one for one in here if one not in staying]


def _on_all(observed: ObservedEnvironment, wanted: Security) -> list[tuple[str, str]]:
    """The wanted listeners that all running brokers have already: they were there before, or are as good as that."""
    brokers = [
        {(one.name, one.security) for one in node.ways} for node in observed.of_role(Role.BROKER) if node.needs_stop
    ]
    named = [(wanted.named(name), profile.name) for name, profile in wanted.host]
    return [one for one in named if all(one in has for has in brokers)]


def _profile_of(name: str, here: Collection[tuple[str, str]]) -> Profile | None:
    by_name = (profile for profile in PROFILES.values() if profile.named(base_of(name)) == name)
    told = dict(here).get(name)
    return PROFILES[told] if told else next(by_name, None)


def _of_controllers(name: str, internal: Profile) -> Profile:
    """A profile of controllers' listener of that name, which tells only of its protocol."""
    named = (profile for profile in (internal, *PROFILES.values()) if profile.named(CONTROLLER) == name)
    return next(named, internal)


def _mixed(others: Iterable[tuple[str, str]], between: Iterable[Profile]) -> tuple[str, ...]:
    by_listener: dict[str, set[str]] = {INTERNAL: {profile.name for profile in between}}
    for name, profile in others:
        by_listener.setdefault(base_of(name), set()).add(profile)
    return next((tuple(sorted(found)) for found in by_listener.values() if len(found) > 1), ())
