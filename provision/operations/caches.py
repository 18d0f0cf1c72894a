"""Remove what is kept only to be faster: archives of classes, and Kafka's jars."""

from contextlib import suppress

from msgspec import Struct

from provision.operations.remove import end_all_training
from provision.runtime import Runtimes, jars


class RemovedCaches(Struct, frozen=True):
    """How many archives were removed, and the Kafka versions whose jars were."""

    archives: int
    versions: tuple[str, ...]


def remove_caches(runtimes: Runtimes) -> RemovedCaches:
    """Remove the caches of this home and of the engine that answers; what nodes still use stays.

    Raises:
        ProvisionError: something cannot be removed.
    """
    end_all_training(runtimes)
    archives = sum(one.archives.remove_all() for one in runtimes.answering().values() if one.archives)
    versions = jars.remove_all(runtimes.home.cache / "kafka")
    (runtimes.home.cache / "training.lock").unlink(missing_ok=True)
    with suppress(OSError):  # somebody else's files are in it, or it is not there
        runtimes.home.cache.rmdir()
    return RemovedCaches(archives, versions)
