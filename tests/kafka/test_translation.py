"""The client library's errors, each as one of ours: whether Kafka does not answer, or refuses."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import errors as library
from kafka.errors import BrokerResponseError, KafkaError, for_code
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from provision.errors import Interrupted, KafkaRefused, ProvisionError, Unavailable
from provision.kafka.translation import as_provision_error, reason_of, translated

NOT_LET_IN = "creating topics: Kafka denies this user permission"
REFUSED = "creating topics: Kafka refused"
SILENT = "creating topics: the brokers do not answer"
EXIT_CODES = {KafkaRefused: 1, Unavailable: 69, ProvisionError: 1}
CANNOT = "creating topics: the client cannot do that"


def kinds() -> list[type[KafkaError]]:
    """Every error of the library, each once, whatever names it has."""
    found = {kind for _, kind in inspect.getmembers(library, inspect.isclass) if issubclass(kind, KafkaError)}
    return sorted(found, key=lambda kind: kind.__name__)


def made(kind: type[KafkaError], *reason: str) -> KafkaError:
    needs_offsets = kind is library.LogTruncationError
    return kind({}, *reason) if needs_offsets else kind(*reason)


def translation_of(error: Exception) -> ProvisionError:
    with pytest.raises(ProvisionError) as caught, translated("creating topics"):
        raise error
    assert caught.value.__cause__ is error
    same = as_provision_error("creating topics", error)
    assert (type(same), same.what, same.why) == (type(caught.value), caught.value.what, caught.value.why)
    return caught.value


every_kind = pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)


@every_kind
def test_every_error_is_one_of_three_with_its_reason_and_its_exit_code(kind: type[KafkaError]) -> None:
    ours = translation_of(made(kind))
    assert ours.exit_code == EXIT_CODES[type(ours)]
    assert ours.what.startswith("creating topics: ")
    assert kind.__name__ in ours.why
    assert bool(ours.hint) is isinstance(ours, Unavailable)
    assert "because the moon" in translation_of(made(kind, "because the moon is full")).why


@every_kind
def test_what_may_pass_is_never_a_refusal(kind: type[KafkaError]) -> None:
    ours = translation_of(made(kind))
    if kind.retriable or kind.invalid_metadata:
        assert (type(ours), ours.what) == (Unavailable, SILENT)


@every_kind
def test_only_a_broker_refuses_and_what_it_means_for_good_is_a_refusal(kind: type[KafkaError]) -> None:
    ours = translation_of(made(kind))
    passing = kind.retriable or issubclass(
        kind,
        library.UnknownError
        | library.BrokerNotAvailableError
        | library.StaleBrokerEpochError
        | library.StaleControllerEpochError,
    )
    assert isinstance(ours, KafkaRefused) is (issubclass(kind, BrokerResponseError) and not passing)


@every_kind
def test_the_brokers_do_not_answer_is_said_only_where_they_may_answer_later(kind: type[KafkaError]) -> None:
    may_pass = kind.retriable or issubclass(
        kind,
        library.UnknownError
        | library.BrokerNotAvailableError
        | library.StaleBrokerEpochError
        | library.StaleControllerEpochError
        | library.KafkaProtocolError
        | library.UnknownBrokerIdError,  # while a cluster forms
    )
    assert (translation_of(made(kind)).what == SILENT) is may_pass


@pytest.mark.parametrize(("codec", "package"), [("lz4", "lz4"), ("zstd", "zstandard"), ("snappy", "python-snappy")])
def test_a_codec_that_is_not_installed_is_named_with_its_package(codec: str, package: str) -> None:
    ours = translation_of(library.UnsupportedCodecError(f"Libraries for {codec} compression codec not found"))
    assert isinstance(ours, Unavailable)
    assert ours.what == f"creating topics: the records are compressed with {codec}, which is not installed here"
    assert ours.hint == f"install the Python package {package}"


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_is_installed_with_provision(codec: str) -> None:
    attributes = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
    builder = MemoryRecordsBuilder(2, attributes[codec], 1 << 20)
    for number in range(100):
        builder.append(timestamp=number, key=None, value=b"compressed " * 100, headers=[])
    builder.close()
    batch = MemoryRecords(builder.buffer()).next_batch()
    assert batch.compression_type == attributes[codec]
    assert [record.value for record in batch] == [b"compressed " * 100] * 100


@pytest.mark.parametrize(
    ("kind", "ours", "what"),
    [
        # who asks may not do it
        (library.TopicAuthorizationFailedError, KafkaRefused, NOT_LET_IN),
        (library.GroupAuthorizationFailedError, KafkaRefused, NOT_LET_IN),
        (library.ClusterAuthorizationFailedError, KafkaRefused, NOT_LET_IN),
        (library.TransactionalIdAuthorizationFailedError, KafkaRefused, NOT_LET_IN),
        (library.DelegationTokenAuthorizationFailedError, KafkaRefused, NOT_LET_IN),
        (library.SaslAuthenticationFailedError, KafkaRefused, NOT_LET_IN),
        (library.UnsupportedSaslMechanismError, KafkaRefused, NOT_LET_IN),
        # nobody may
        (library.PolicyViolationError, KafkaRefused, REFUSED),
        (library.InvalidConfigurationError, KafkaRefused, REFUSED),
        (library.InvalidTopicError, KafkaRefused, REFUSED),
        (library.InvalidPartitionsError, KafkaRefused, REFUSED),
        (library.InvalidReplicationFactorError, KafkaRefused, REFUSED),
        (library.InvalidReplicationAssignmentError, KafkaRefused, REFUSED),
        (library.InvalidRequestError, KafkaRefused, REFUSED),
        (library.TopicAlreadyExistsError, KafkaRefused, REFUSED),
        (library.TopicDeletionDisabledError, KafkaRefused, REFUSED),
        (library.UnsupportedVersionError, KafkaRefused, REFUSED),
        (library.IncompatibleBrokerVersion, KafkaRefused, REFUSED),
        (library.ReassignmentInProgressError, KafkaRefused, REFUSED),
        (library.MessageSizeTooLargeError, KafkaRefused, REFUSED),
        (library.IllegalSaslStateError, KafkaRefused, REFUSED),
        (library.SecurityDisabledError, KafkaRefused, REFUSED),
        # not by this client
        (library.KafkaConfigurationError, ProvisionError, CANNOT),
        (library.IllegalArgumentError, ProvisionError, CANNOT),
        (library.IllegalStateError, ProvisionError, CANNOT),
        # not now
        (library.NotControllerError, Unavailable, SILENT),
        (library.LeaderNotAvailableError, Unavailable, SILENT),
        (library.NotLeaderForPartitionError, Unavailable, SILENT),
        (library.RequestTimedOutError, Unavailable, SILENT),
        (library.ThrottlingQuotaExceededError, Unavailable, SILENT),
        (library.BrokerNotAvailableError, Unavailable, SILENT),
        (library.StaleBrokerEpochError, Unavailable, SILENT),
        (library.StaleControllerEpochError, Unavailable, SILENT),
        (library.UnknownError, Unavailable, SILENT),
        (library.UnknownTopicOrPartitionError, Unavailable, SILENT),
        # nobody there
        (library.KafkaConnectionError, Unavailable, SILENT),
        (library.KafkaTimeoutError, Unavailable, SILENT),
        (library.NodeNotReadyError, Unavailable, SILENT),
        (library.MetadataEmptyBrokerList, Unavailable, SILENT),
        (library.KafkaProtocolError, Unavailable, SILENT),
        (library.CorrelationIdError, Unavailable, SILENT),
    ],
)
def test_which_of_ours_it_is(kind: type[KafkaError], ours: type[ProvisionError], what: str) -> None:
    translation = translation_of(made(kind))
    assert (type(translation), translation.what) == (ours, what)


@given(code=st.integers(-(2**15), 2**15 - 1))
def test_every_code_that_a_broker_can_send_is_known_or_taken_for_something_that_passes(code: int) -> None:
    kind = for_code(code)
    ours = translation_of(kind())
    assert type(ours) in EXIT_CODES
    if kind not in kinds():
        assert type(ours) is Unavailable


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (KeyError("topics"), "'topics'"),  # a broker that answers while its cluster still forms
        (RuntimeError("no controller"), "no controller"),
        (RuntimeError(), "RuntimeError"),
        (NotImplementedError(), "NotImplementedError"),
    ],
)
def test_a_cluster_that_has_not_formed_does_not_answer(error: Exception, why: str) -> None:
    ours = translation_of(error)
    assert (type(ours), ours.what, ours.why, ours.exit_code) == (Unavailable, SILENT, why, 69)


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("a mistake of ours"), TypeError(), OSError("disk full"), AssertionError()),
        *(KeyboardInterrupt(), SystemExit(1), Interrupted("the wait was cancelled")),
        *(KafkaRefused("said before", why="its own"), Unavailable("said before")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_the_clients_goes_through_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, translated("creating topics"):
        raise error
    assert caught.value is error


def test_where_nothing_fails_nothing_happens() -> None:
    with translated("creating topics"):
        pass


# -- answers with many outcomes ---------------------------------------------------------------------------------------

codes = st.integers(-1, 130)


@given(code=codes, message=st.none() | st.text())
def test_kafkas_own_words_come_first_and_there_always_is_a_reason(code: int, message: str | None) -> None:
    reason = reason_of(code, message)
    assert reason == (message or for_code(code).__name__)
    assert reason
