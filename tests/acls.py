"""A table of what ACLs let in, and Kafka's rules in a few lines, for tests without a broker and with one."""

from collections.abc import Iterable
from dataclasses import dataclass

from provision.security.acls import Acl

# What else an allowed operation permits (`Authorizer`, "Operations and Resources on Protocols").
_IMPLIED = {"describe": {"read", "write", "delete", "alter"}, "describe-configs": {"alter-configs"}}


@dataclass(frozen=True)
class Case:
    """What is allowed to a user in the short form, with other ACLs, and whether it permits an operation."""

    allow: tuple[str, ...]
    operation: str
    resource: str
    name: str
    lets_in: bool
    others: tuple[Acl, ...] = ()

    def __str__(self) -> str:
        others = "".join(f", {acl}" for acl in self.others)
        return f"{', '.join(self.allow) or 'nothing'}{others}: {self.operation} {self.resource} {self.name}"


def _of(allow: str, *rows: tuple[str, bool], others: tuple[Acl, ...] = ()) -> list[Case]:
    texts = tuple(text for text in allow.split(", ") if text)
    cases = []
    for asked, lets_in in rows:
        operation, resource, name = asked.split()
        cases.append(Case(texts, operation, resource, name, lets_in, others))
    return cases


_DENIED = (Acl("User:app", "topic", "orders.secret", "read", allowed=False),)
_ELSEWHERE = (Acl("User:app", "topic", "orders", "read", host="192.0.2.1"),)
_DENIED_ELSEWHERE = (Acl("User:app", "topic", "orders", "read", host="192.0.2.1", allowed=False),)
_OTHERS = (Acl("User:other", "topic", "orders", "read"),)
_EVERYBODYS = (Acl("User:*", "topic", "orders", "read"),)
_PREFIX_DENIED = (Acl("User:app", "topic", "orders.", "write", prefixed=True, allowed=False),)

CASES = [
    *_of("", ("read topic orders", False), ("write topic orders", False), ("describe topic orders", False)),
    *_of(
        "read topic orders",
        ("read topic orders", True),
        ("describe topic orders", True),
        ("write topic orders", False),
        ("read topic orders.eu", False),
        ("read topic order", False),
        ("delete topic orders", False),
        ("alter-configs topic orders", False),
        ("read group orders", False),
    ),
    *_of(
        "write topic orders.*",
        ("write topic orders.eu", True),
        ("describe topic orders.eu", True),
        ("create topic orders.new", True),
        ("write topic orders", False),
        ("read topic orders.eu", False),
        ("delete topic orders.eu", False),
        ("create topic payments", False),
    ),
    *_of(
        "write topic orders",
        ("write topic orders", True),
        ("write topic orders.eu", False),
        ("alter topic orders", False),
    ),
    *_of("read topic *", ("read topic orders", True), ("write topic orders", False), ("read group app", False)),
    *_of("create topic orders.*", ("create topic orders.new", True), ("write topic orders.eu", False)),
    *_of("delete topic orders.eu", ("delete topic orders.eu", True), ("describe topic orders.eu", True)),
    *_of("alter topic orders", ("alter topic orders", True), ("alter-configs topic orders", False)),
    *_of(
        "alter-configs topic orders",
        ("alter-configs topic orders", True),
        ("describe-configs topic orders", True),
        ("describe topic orders", False),
    ),
    *_of("describe-configs topic orders", ("describe-configs topic orders", True), ("read topic orders", False)),
    *_of(
        "all topic orders",
        ("read topic orders", True),
        ("write topic orders", True),
        ("delete topic orders", True),
        ("read topic orders.eu", False),
    ),
    *_of(
        "read group app-*",
        ("read group app-1", True),
        ("describe group app-1", True),
        ("read group other", False),
        ("delete group app-1", False),
    ),
    *_of("delete group app-1", ("delete group app-1", True), ("read group app-1", False)),
    *_of("create cluster", ("create topic payments", True), ("write topic payments", False)),
    *_of("describe cluster", ("describe cluster kafka-cluster", True), ("alter cluster kafka-cluster", False)),
    *_of("write transactional-id app-*", ("write transactional-id app-1", True), ("write transactional-id b", False)),
    *_of("read topic orders.*", ("read topic orders.secret", False), ("read topic orders.eu", True), others=_DENIED),
    *_of("", ("read topic orders", False), others=_ELSEWHERE),
    *_of("read topic orders", ("read topic orders", True), others=_DENIED_ELSEWHERE),
    *_of("", ("read topic orders", False), others=_OTHERS),
    *_of("", ("read topic orders", True), ("write topic orders", False), others=_EVERYBODYS),
    *_of("write topic *", ("write topic orders", True), ("write topic orders.eu", False), others=_PREFIX_DENIED),
]


def allowed(acls: Iterable[Acl], principal: str, operation: str, resource: str, name: str) -> bool:
    """Kafka's rules, for clients on this machine: what matches a deny is denied, else what matches an allow allowed.

    Whoever may create topics in the cluster may create any.
    """
    matching = [acl for acl in acls if _matches(acl, principal, resource, name)]
    if any(not acl.allowed and acl.operation in (operation, "all") for acl in matching):
        return False
    sufficient = {operation, "all", *_IMPLIED.get(operation, ())}
    if any(acl.allowed and acl.operation in sufficient for acl in matching):
        return True
    of_cluster = (operation, resource) == ("create", "topic")
    return of_cluster and allowed(acls, principal, "create", "cluster", "kafka-cluster")


def _matches(acl: Acl, principal: str, resource: str, name: str) -> bool:
    named = name.startswith(acl.name) if acl.prefixed else acl.name in (name, "*")
    return acl.resource == resource and acl.principal in (principal, "User:*") and named and acl.host == "*"
