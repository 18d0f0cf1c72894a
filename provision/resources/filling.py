"""Fill new topics with the records of a file: once, whatever interrupts it.

A topic is noted before it is created, until it is full. Each record has its partition, by its key or in turn, so the
end offsets of an interrupted topic say which records it has.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from provision.common.counts import plural
from provision.common.patience import Patience, Pauses
from provision.common.records import NewRecord
from provision.errors import Interrupted, ProvisionError, Unavailable
from provision.events import Progress
from provision.home.seeds import Seeding, SeedNotes
from provision.plan.filling import digest_of, invalid, unreadable
from provision.plan.observed import ObservedCluster, Unfilled
from provision.plan.topic_changes import Filling, PlacedTopic
from provision.resources.kind import Outcome, Work
from provision.spec.record_files import BadRecord

_KNOWN_S = 30.0
_PARTLY = "a topic that has some of its records needs `provision topics delete` before another file"

if TYPE_CHECKING:
    from provision.kafka.admin import Admin
    from provision.kafka.topics import Created


def unfilled(admin: "Admin", cluster: ObservedCluster, seeds: SeedNotes) -> dict[str, Unfilled]:
    """The topics of a cluster whose filling was interrupted."""
    noted = {name: begun for name, begun in seeds.read(cluster.cluster_id).items() if cluster.topic(name)}
    return {
        name: Unfilled(begun.partitions, begun.digest, _ends(admin, cluster, name)) for name, begun in noted.items()
    }


def create(admin: "Admin", cluster: ObservedCluster, placed: Sequence[PlacedTopic], work: Work) -> "Created":
    """Create topics. Those that are to be filled are noted before, and only if somebody else has not created them."""
    begun = {
        one.topic.name: Seeding(partitions=one.topic.partitions, digest=digest_of(one.topic.records))
        for one in placed
        if one.topic.records
    }
    if begun:
        work.target.seeds.begin(cluster.cluster_id, begun)
    created = admin.topics.create(placed, work.tell, work.check)
    # One that exists and is empty is ours: the answer to an earlier request was lost.
    used = [
        name
        for name in created.existing & begun.keys()
        if any(admin.partitions.end_offsets(name, begun[name].partitions))
    ]
    if begun:
        work.target.seeds.end(cluster.cluster_id, *created.failures, *used)
    return created


def fill(admin: "Admin", cluster: ObservedCluster, fillings: Mapping[str, Filling], work: Work) -> Outcome:
    """Write the records that topics do not have yet; those that somebody else has created meanwhile are left alone."""
    seeds = work.target.seeds
    noted = seeds.read(cluster.cluster_id)
    failed: dict[str, str] = {}
    for name, filling in fillings.items():
        if name not in noted:
            continue
        new = cluster.topic(name) is None
        written = (0,) * filling.partitions if new else admin.partitions.end_offsets(name, filling.partitions)
        if not new and not any(written):  # it may be another file than when it was created
            anew = Seeding(partitions=filling.partitions, digest=digest_of(filling.file))
            seeds.begin(cluster.cluster_id, {name: anew})
        try:
            _fill(name, filling, written, work)
        except (Unavailable, Interrupted):
            raise
        except ProvisionError as error:
            failed[name] = "; ".join(filter(None, (error.what, *error.why.splitlines())))
        else:
            seeds.end(cluster.cluster_id, name)
    hint = _PARTLY if failed else ""
    return Outcome(failed, frozenset(fillings.keys() - noted.keys()), hint)


def _fill(name: str, filling: Filling, written: Sequence[int], work: Work) -> None:
    from provision.kafka import writing
    from provision.kafka.readiness import is_gone

    before = sum(written)

    def told(acknowledged: int) -> None:
        work.tell(Progress(f"records of {name}", before + acknowledged, filling.records))

    patience, pauses = Patience(_KNOWN_S), Pauses()
    while is_gone(work.target.access, name) and patience.pause(pauses.next_s()):  # no broker knows the new topic yet
        work.check()
    records = remaining(_read(filling), filling.partitions, written)
    writing.produce(work.target.access, name, records, cluster=work.target.name, largest_bytes=None, told=told)


def _read(filling: Filling) -> Iterator[NewRecord]:
    """All records, with errors of ours: those before are written, and the error says how many."""
    try:
        yield from filling.file.records(filling.partitions)
    except BadRecord as error:  # since the plan was made
        raise invalid(filling.file, error) from error
    except OSError as error:
        raise unreadable(filling.file, error) from error


def remaining(records: Iterable[NewRecord], partitions: int, written: Sequence[int]) -> Iterator[NewRecord]:
    """The records that are not written yet; those without a key go to each partition in turn.

    Args:
        records: all of them, in order.
        partitions: of the topic.
        written: how many each partition has.

    Raises:
        ProvisionError: there are more in a partition than these would be.
    """
    from provision.kafka.partitioning import partition_of

    left, to_skip = list(written), sum(written)
    for number, record in enumerate(records):
        partition = record.partition
        if partition is None and record.key is None:
            partition = number % partitions
            record = NewRecord(record.value, None, record.headers, partition, record.timestamp_ms)  # noqa: PLW2901
        if to_skip:
            if partition is None:
                partition = partition_of(record.key or b"", partitions)
            if left[partition]:
                left[partition] -= 1
                to_skip -= 1
                continue
        yield record
    if to_skip:
        raise ProvisionError(
            f"it has {to_skip:,} {plural('record', to_skip)} more than its file: somebody else has written to it, too"
        )


def _ends(admin: "Admin", cluster: ObservedCluster, name: str) -> tuple[int, ...]:
    topic = cluster.topic(name)
    return admin.partitions.end_offsets(name, len(topic.partitions) if topic else 0)
