"""Users with SCRAM (KIP-554): what the cluster keeps of them, and whether a password lets them in."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provision.common.values import replace
from provision.errors import KafkaRefused, Unavailable
from provision.kafka.access import Access, Credentials
from provision.kafka.connection import REQUEST_TIMEOUT_S, NotAnswering, ask, ask_any
from provision.security.profiles import SCRAM, SCRAM_256, SCRAM_512

# Brokers from 2.7 on support it, in KRaft mode those from 3.5 on.
_VERSION = 0
_ANSWER_S = 5.0
_SALT_BYTES = 24
_NOT_FOUND = 91
_CODES = {SCRAM_256: 1, SCRAM_512: 2}
_MECHANISMS = {code: mechanism for mechanism, code in _CODES.items()}

Scram = Mapping[str, int]
"""How often a user's password is hashed, by mechanism."""


@dataclass(frozen=True, slots=True)
class ScramChange:
    """A user's credential for a mechanism to set, and those for other mechanisms to remove."""

    user: str
    mechanism: str = ""
    iterations: int = 0
    password: str = field(default="", repr=False)
    remove: tuple[str, ...] = ()


def describe_scram(access: Access) -> dict[str, dict[str, int]]:
    """All users with SCRAM, read from the first broker that answers.

    Raises:
        Unavailable: no broker answers.
        KafkaRefused: Kafka refuses the request.
    """
    return _read(ask_any(access, _describe_request, "reading users"))


def scram_of(access: Access, broker: int) -> dict[str, dict[str, int]]:
    """The same, as one broker knows them.

    Raises:
        NotAnswering: it does not answer.
        KafkaRefused: Kafka refuses the request.
    """
    return _read(ask(access, broker, _describe_request(), _ANSWER_S))


def alter_scram(access: Access, changes: Sequence[ScramChange]) -> dict[str, str]:
    """Change users; what Kafka refuses of one does not stop the others. No password is sent, only what is made of it.

    In ZooKeeper mode only the controller does that, which may move meanwhile: the others are asked in turn then.

    Returns:
        The users that were refused, with Kafka's reasons.

    Raises:
        Unavailable: no broker answers.
    """
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.admin.users import AlterUserScramCredentialsRequest as Request

    from provision.kafka.insisting import Refusal, insist_on_brokers

    made = {change.user: _upsertion(Request.ScramCredentialUpsertion, change) for change in changes if change.mechanism}
    deletions = [
        Request.ScramCredentialDeletion(name=change.user, mechanism=_CODES[mechanism])
        for change in changes
        for mechanism in change.remove
    ]

    def request(users: Sequence[str]) -> Any:  # noqa: ANN401 the library's classes
        return Request(
            deletions=[one for one in deletions if one.name in users],
            upsertions=[one for user, one in made.items() if user in users],
            version=_VERSION,
        )

    def refused(answer: Any, _: Sequence[str], attempt: int) -> dict[str, Refusal]:  # noqa: ANN401 see above
        # A deletion whose answer was an error may have been made all the same.
        done = {0, _NOT_FOUND} if attempt else {0}
        return {
            one.user: Refusal(one.error_code, one.error_message) for one in answer.results if one.error_code not in done
        }

    users = list(dict.fromkeys(change.user for change in changes))
    return insist_on_brokers(access, "changing users", users, request, refused, REQUEST_TIMEOUT_S)


def lets_in(access: Access, broker: int, who: Credentials) -> bool:
    """Whether a broker lets a user in.

    Raises:
        NotAnswering: it does not answer.
    """
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.metadata import ApiVersionsRequest

    try:
        ask(replace(access, credentials=who), broker, ApiVersionsRequest(version=0), _ANSWER_S)
    except KafkaRefused:
        return False
    return True


def is_let_in(access: Access, who: Credentials) -> bool:
    """Whether the first broker that answers lets a user in.

    Raises:
        Unavailable: none of them answers.
    """
    for broker in access.brokers:
        try:
            return lets_in(access, broker, who)
        except NotAnswering:
            continue
    raise Unavailable("reading users: no broker answers")


def _upsertion(make: Any, change: ScramChange) -> Any:  # noqa: ANN401 the library's classes
    salt = secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac(SCRAM[change.mechanism], change.password.encode(), salt, change.iterations)
    return make(
        name=change.user,
        mechanism=_CODES[change.mechanism],
        iterations=change.iterations,
        salt=salt,
        salted_password=salted,
    )


def _describe_request() -> Any:  # noqa: ANN401 the library's classes
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.protocol.admin.users import DescribeUserScramCredentialsRequest

    return DescribeUserScramCredentialsRequest(users=None, version=_VERSION)


def _read(response: Any) -> dict[str, dict[str, int]]:  # noqa: ANN401 the library's classes
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.errors import for_code

    from provision.kafka.translation import as_provision_error

    for told in (response, *response.results):
        if told.error_code:
            raise as_provision_error("reading users", for_code(told.error_code)(told.error_message or ""))
    return {
        told.user: {
            _MECHANISMS[info.mechanism]: info.iterations
            for info in told.credential_infos
            if info.mechanism in _MECHANISMS
        }
        for told in response.results
    }
