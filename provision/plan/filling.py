"""New topics that are filled with the records of a file, and those whose filling was interrupted. Reads the files."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from provision.cluster.model import Topic
from provision.common.counts import counted, plural
from provision.errors import InvalidEnvironment, Problem
from provision.plan.actions import Action, Verb
from provision.plan.observed import Unfilled
from provision.plan.topic_changes import TOPIC, Filling
from provision.spec.record_files import BadRecord, RecordFile
from provision.spec.topic_takes import Takes

_ANEW = "`provision topics delete` deletes it, and then it is created and filled anew"


def fillings(topics: Sequence[Topic], existing: Collection[str], unfilled: Mapping[str, Unfilled]) -> Iterator[Action]:
    """The topics to fill: new ones, and those whose filling was interrupted.

    Raises:
        InvalidEnvironment: a file is not valid any more, beyond what is checked when the environment file is loaded.
    """
    for topic in topics:
        if topic.records is None or (topic.name in existing and topic.name not in unfilled):
            continue
        records = records_in(topic.records, Takes.of(topic.partitions, topic.config))
        filling = Filling(topic.records, topic.partitions, records)
        detail = f"{filling.records:,} {plural('record', filling.records)} from {topic.records.name}"
        cause = "new"
        if begun := unfilled.get(topic.name) if topic.name in existing else None:
            cause = f"interrupted after {sum(begun.written):,} of them"
        yield Action(Verb.FILL, TOPIC, topic.name, cause, detail, subject=filling)


def not_to_be_continued(topic: Topic, unfilled: Mapping[str, Unfilled]) -> Iterator[Action]:
    """The refusal to go on filling a topic with something else than before; one without records is begun anew."""
    begun = unfilled[topic.name]
    if topic.records is None:
        return
    so_far = f"its filling was interrupted after {counted('record', sum(begun.written))}"
    if begun.partitions != topic.partitions:
        before = counted("partition", begun.partitions)
        cause = f"{so_far}, and it had {before} then, not {topic.partitions}"
    elif any(begun.written) and begun.digest != digest_of(topic.records):
        cause = f"{so_far}, and {topic.records.name} is another file than then, or has changed since"
    else:
        return
    yield Action(Verb.REFUSE, TOPIC, topic.name, cause, _ANEW)


def records_in(file: RecordFile, takes: Takes) -> int:
    """How many records a file has; all of them are read.

    Raises:
        InvalidEnvironment: one of them is none, or not taken by the topic, or the file cannot be read.
    """
    try:
        return file.count(takes)
    except BadRecord as error:
        raise invalid(file, error) from error
    except OSError as error:
        raise unreadable(file, error) from error


def digest_of(file: RecordFile) -> str:
    """A hash of the file and of how it is read.

    Raises:
        InvalidEnvironment: it cannot be read.
    """
    try:
        return file.digest()
    except OSError as error:
        raise unreadable(file, error) from error


def invalid(file: RecordFile, error: BadRecord) -> InvalidEnvironment:
    """The error for a line of a file."""
    return InvalidEnvironment([Problem(file.path, error.line, 1, "", str(error), error.hint)], file.name)


def unreadable(file: RecordFile, error: OSError) -> InvalidEnvironment:
    """The error for a file that cannot be read."""
    why = (error.strerror or str(error)).lower()
    return InvalidEnvironment([Problem(file.path, 0, 0, "", f"it cannot be read: {why}")], file.name)
