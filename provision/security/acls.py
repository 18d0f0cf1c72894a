"""ACLs: who may do what to which resources; the short form, and what it expands to. Pure.

Sources: Kafka documentation, "Authorization and ACLs", KIP-290 (prefixes), `AclEntry.supportedOperations`, and
`AclCommand`, whose `--producer` and `--consumer` the short form follows.
"""

import difflib
import json
import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from provision.security.listening import Security
from provision.security.profiles import ITSELF

READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE = "read", "write", "create", "delete", "alter", "describe"
DESCRIBE_CONFIGS, ALTER_CONFIGS, ALL = "describe-configs", "alter-configs", "all"
TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID, USER = "topic", "group", "cluster", "transactional-id", "user"

OPERATIONS: dict[str, tuple[str, ...]] = {
    TOPIC: (READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS, ALL),
    GROUP: (READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS, ALL),
    CLUSTER: (
        CREATE,
        ALTER,
        DESCRIBE,
        "cluster-action",
        DESCRIBE_CONFIGS,
        ALTER_CONFIGS,
        "idempotent-write",
        ALL,
    ),
    TRANSACTIONAL_ID: (WRITE, DESCRIBE, ALL),
    "delegation-token": (DESCRIBE, ALL),
    USER: ("create-tokens", "describe-tokens", ALL),
}
"""What can be done to each type of resource."""
ALL_OPERATIONS = tuple(dict.fromkeys(operation for each in OPERATIONS.values() for operation in each))
ANY, CLUSTER_NAME = "*", "kafka-cluster"
"""The name and host that stand for all of them, and the name that every cluster has."""
EXAMPLE = "`read topic orders`"

# The words of the short form that stand for more than themselves.
_EXPANSIONS = {
    (READ, TOPIC): (READ, DESCRIBE),
    (READ, GROUP): (READ, DESCRIBE),
    (WRITE, TOPIC): (WRITE, DESCRIBE, CREATE),
    (WRITE, TRANSACTIONAL_ID): (WRITE, DESCRIBE),
}
_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_AUTHORIZERS = {
    False: "kafka.security.authorizer.AclAuthorizer",
    True: "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
}


class Acl(Struct, frozen=True, order=True):
    """One of Kafka's ACLs: an operation that a principal may or may not do to a resource, from a host.

    A `prefixed` name stands for all that begin with it, the name `*` for all; so does the host `*`.
    """

    principal: str
    resource: str
    name: str
    operation: str
    prefixed: bool = False
    host: str = ANY
    allowed: bool = True

    def __str__(self) -> str:
        name = f"{_quoted(self.name)}*" if self.prefixed else _quoted(self.name)
        what = self.resource if self.resource == CLUSTER and self.name == CLUSTER_NAME else f"{self.resource} {name}"
        where = "" if self.host == ANY else f" from {_quoted(self.host)}"
        return f"{'allow' if self.allowed else 'deny'} {_quoted(self.principal)} {self.operation} {what}{where}"


def principal_of(user: str) -> str:
    """The principal of a user, as Kafka writes it; `*` is everybody."""
    return f"User:{user}"


ANONYMOUS = "ANONYMOUS"
"""What Kafka calls who connects without saying who that is."""
UNKNOWN = (principal_of(ANONYMOUS), principal_of(ANY))
"""The principals of whoever does so."""


def own_principals(security: Security) -> tuple[str, ...]:
    """The principals of nodes and of this program; with certificates also before a rule has mapped their names."""
    return (principal_of(ITSELF), *([principal_of(f"CN={ITSELF}")] if security.encrypted else []))


def lets_change_permissions(acl: Acl) -> bool:
    """Whether it lets in who connects without saying who that is, to see and change permissions."""
    return acl.principal in UNKNOWN and acl.allowed and acl.resource == CLUSTER and acl.operation in (ALTER, ALL)


def keeps_from_permissions(acl: Acl) -> bool:
    """Whether it denies them that, from everywhere."""
    denied = not acl.allowed and acl.host == ANY
    return denied and acl.principal in UNKNOWN and acl.resource == CLUSTER and acl.operation in (ALTER, DESCRIBE, ALL)


AUTHORIZER = ("authorizer.class.name", "super.users", "allow.everyone.if.no.acl.found")
"""The properties that `authorizer` sets."""
SUPER_USERS = AUTHORIZER[1]


def authorizer(security: Security, supers: Iterable[str], *, kraft: bool) -> dict[str, str]:
    """The properties of a node that asks for permissions: all that is not allowed is refused, except to super users."""
    return {
        AUTHORIZER[0]: _AUTHORIZERS[kraft],
        SUPER_USERS: ";".join(dict.fromkeys((*own_principals(security), *map(principal_of, supers)))),
        AUTHORIZER[2]: "false",
    }


def expanded(text: str, principal: str, host: str = ANY) -> tuple[Acl, ...]:
    """The ACLs that a short form such as `read topic orders` or `write topic orders.*` stands for.

    Raises:
        ValueError: it has another form. The text is not in the message: it may be a secret in the wrong place.
    """
    words = text.split() if text.isprintable() else []
    if not words:
        raise ValueError(f"must be an operation, a type of resource and a name, as in {EXAMPLE}")
    if words[0] in OPERATIONS and words[0] not in ALL_OPERATIONS:
        raise ValueError(f"the operation comes first, as in {EXAMPLE}")
    operation = known(words[0], ALL_OPERATIONS, "the first word must be an operation")
    if len(words) == 1:
        raise ValueError(f"must say of what, as in {EXAMPLE}")
    resource = known(words[1], tuple(OPERATIONS), "the second word must be a type of resource")
    require_supported(operation, resource)
    name, prefixed = _named(resource, words[2:])
    operations = _EXPANSIONS.get((operation, resource), (operation,))
    return tuple(Acl(principal, resource, name, each, prefixed, host) for each in operations)


def known(word: object, words: Sequence[str], demand: str) -> str:
    """The word, if it is one of these.

    Raises:
        ValueError: it is another one.
    """
    if isinstance(word, str) and word in words:
        return word
    plain = re.sub(r"[\s_-]+", "-", word.lower()) if isinstance(word, str) else ""
    near = difflib.get_close_matches(plain, words, n=1) if len(plain) <= max(map(len, words)) + 5 else []
    raise ValueError(f"{demand}: {', '.join(words)}{f'; did you mean {near[0]}?' if near else ''}")


def require_supported(operation: str, resource: str) -> None:
    """That Kafka has the operation for this type of resource.

    Raises:
        ValueError: it has not.
    """
    if operation not in OPERATIONS[resource]:
        some = ", ".join(OPERATIONS[resource])
        raise ValueError(f"Kafka has no operation {operation} on a {resource}, which has {some}")


def require_name(resource: str, name: str, *, prefixed: bool) -> None:
    """That resources of the type can have this name, or one that begins with it.

    Raises:
        ValueError: they cannot.
    """
    if resource == CLUSTER:
        if name != CLUSTER_NAME or prefixed:
            raise ValueError("a cluster has no name: leave it out")
    elif name == ANY and not prefixed:
        return
    elif ANY in name:
        raise ValueError("`*` alone stands for all names, and a prefix is written with pattern: prefixed, without `*`")
    elif not name.strip() or not name.isprintable():
        raise ValueError("a name cannot be empty or have control characters")
    elif resource == TOPIC and not _TOPIC_NAME.fullmatch(name):
        raise ValueError("a topic's name has 1 to 249 letters, digits, dots, hyphens and underscores")


def _named(resource: str, words: Sequence[str]) -> tuple[str, bool]:
    """The name in the short form, and whether it is a prefix."""
    if resource == CLUSTER:
        if words:
            raise ValueError("a cluster has no name: leave it out")
        return CLUSTER_NAME, False
    if not words:
        raise ValueError(f"must name the {resource}; `*` stands for all")
    if len(words) > 1:
        raise ValueError(f"a name has no spaces here, and each {resource} has an entry of its own, as in {EXAMPLE}")
    prefixed = words[0] != ANY and words[0].endswith(ANY)
    name = words[0].removesuffix(ANY) if prefixed else words[0]
    if ANY in name and (prefixed or name != ANY):
        raise ValueError("`*` can only be the last character of a name, or all of it")
    require_name(resource, name, prefixed=prefixed)
    return name, prefixed


def _quoted(text: str) -> str:
    """In quotation marks where it could be taken for something else."""
    plain = text == ANY or (text.isprintable() and text and not set(text) & set(' *",'))
    return text if plain or text == principal_of(ANY) else json.dumps(text)
