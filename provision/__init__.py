"""Turns one environment file into a running Kafka cluster, and removes it without a trace.

    >>> from provision import Environment
    >>> assert len(Environment(name="orders", brokers={"nodes": 3}).validate().brokers) == 3

`Environment` is the entry point; `Level` names how ready one is; all errors derive from `ProvisionError`; progress is
reported as the events in `provision.events`.
"""

TYPE_CHECKING = False  # as in typing, which costs the command line more time than everything else here
if TYPE_CHECKING:
    from provision.common.records import NewRecord, Record
    from provision.environment import Environment
    from provision.errors import (
        Busy,
        Interrupted,
        InvalidEnvironment,
        KafkaRefused,
        NodeFailed,
        NodeGone,
        NotReady,
        PartlyApplied,
        PortTaken,
        Problem,
        ProvisionError,
        Refused,
        StorageLost,
        Unavailable,
        UsageError,
    )
    from provision.kafka.levels import Level
    from provision.operations.finding import described_file
    from provision.pipeline import UpOptions, UpResult
    from provision.runtime.base import Streams

__version__ = "0.1.0"

_ERRORS = (
    "Busy",
    "Interrupted",
    "InvalidEnvironment",
    "KafkaRefused",
    "NodeFailed",
    "NodeGone",
    "NotReady",
    "PartlyApplied",
    "PortTaken",
    "Problem",
    "ProvisionError",
    "Refused",
    "StorageLost",
    "Unavailable",
    "UsageError",
)
_PUBLIC = {
    "Environment": "provision.environment",
    "Level": "provision.kafka.levels",
    "NewRecord": "provision.common.records",
    "Record": "provision.common.records",
    "Streams": "provision.runtime.base",
    "UpOptions": "provision.pipeline",
    "UpResult": "provision.pipeline",
    "described_file": "provision.operations.finding",
    **dict.fromkeys(_ERRORS, "provision.errors"),
}

__all__ = [
    "Busy",
    "Environment",
    "Interrupted",
    "InvalidEnvironment",
    "KafkaRefused",
    "Level",
    "NewRecord",
    "NodeFailed",
    "NodeGone",
    "NotReady",
    "PartlyApplied",
    "PortTaken",
    "Problem",
    "ProvisionError",
    "Record",
    "Refused",
    "StorageLost",
    "Streams",
    "Unavailable",
    "UpOptions",
    "UpResult",
    "UsageError",
    "__version__",
    "described_file",
]


if not TYPE_CHECKING:  # else a misspelt name would be one, of any type

    def __getattr__(name: str) -> object:
        """Import public names on first use, so that the command line does not wait for all of them."""
        if name not in _PUBLIC:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
