"""A topic of one test."""

from collections.abc import Iterable
from pathlib import Path

from provision import Environment, Record
from provision.common.arguments import whole
from provision.common.counts import counted
from provision.common.patience import Patience
from provision.common.records import Isolation
from provision.testing.content import Content, new_records

WAIT_S = 30.0
"""How long a test waits for records, unless it says otherwise."""
COMMITTED: Isolation = "read_committed"
_PAUSE_S = 0.05
_SHOWN, _LONGEST_SHOWN = 5, 80


class TestTopic:
    """A topic that belongs to one test, under a name of its own; `str(topic)` is that name."""

    __test__ = False  # it is no test

    def __init__(self, environment: Environment, name: str) -> None:
        self._environment, self.name = environment, name

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def produce(self, records: Path | Iterable[Content]) -> int:
        """Write records, each acknowledged by all in-sync replicas; returns how many.

        Args:
            records: values as text or bytes, or mappings with `value` and optionally `key`, `headers`, `partition` and
                `timestamp` (in milliseconds since 1970); or the path of a file, as for `topics[].records`.

        Raises:
            TypeError, ValueError: one of them is no record; says which, and what of it is wrong. None is written.
            UsageError: there is no such file.
            ProvisionError: a line of it is no record; those before it may be written.
        """
        __tracebackhide__ = True
        return self._environment.produce(self.name, new_records(records))

    def consume(self, count: int, timeout: float = WAIT_S, isolation_level: Isolation = COMMITTED) -> list[Record]:
        """The first `count` records, from the beginning and without a group, in the order of each partition.

        Nothing is read of aborted transactions, nor past the start of an open one, unless the `isolation_level` is
        `read_uncommitted`.

        Raises:
            UsageError: `count` is no number of records.
            AssertionError: there are fewer after `timeout` seconds; shows those that there are.
        """
        __tracebackhide__ = True
        whole(count, "a number of records")
        read: list[Record] = []
        if not count:
            return read
        patience = Patience(timeout)
        for record in self._environment.consume(
            self.name, limit=count, idle_s=timeout, isolation_level=isolation_level
        ):
            read.append(record)
            if patience.is_over:
                break
        if len(read) < count:
            raise AssertionError(f"{self.name} has {_listed(read)}, not {count} after {patience.given}")
        return read

    def wait_for_records(
        self, count: int, timeout: float = WAIT_S, isolation_level: Isolation = COMMITTED
    ) -> list[Record]:
        """Wait until the topic has at least `count` records, and return all that it has then.

        Raises:
            AssertionError: it has fewer after `timeout` seconds.
        """
        __tracebackhide__ = True
        self.consume(count, timeout, isolation_level)
        there = self._environment.consume(self.name, to_end=True, idle_s=timeout, isolation_level=isolation_level)
        return list(there)

    def lag(self, group: str) -> int:
        """How many records the group has not committed yet, over all partitions."""
        __tracebackhide__ = True
        return sum(self._environment.lag(group, [self.name]).values())

    def wait_until_read(self, group: str, timeout: float = WAIT_S) -> None:
        """Wait until the group has committed every record of the topic, but for those of aborted transactions.

        Raises:
            AssertionError: it has not after `timeout` seconds.
        """
        __tracebackhide__ = True
        patience = Patience(timeout)
        while not self._environment.has_read_all(group, [self.name]):
            if not patience.pause(_PAUSE_S):
                left = self.lag(group)
                raise AssertionError(
                    f"{group} has {counted('record', left)} of {self.name} to read after {patience.given}"
                )

    # -- the same in async tests: the event loop goes on meanwhile ----------------------------------------------------

    async def aproduce(self, records: Path | Iterable[Content]) -> int:
        """As `produce`, without blocking the event loop."""
        __tracebackhide__ = True
        return await self._environment.in_thread(self.produce, records)

    async def aconsume(
        self,
        count: int,
        timeout: float = WAIT_S,  # noqa: ASYNC109 as in `consume`
        isolation_level: Isolation = COMMITTED,
    ) -> list[Record]:
        """As `consume`, without blocking the event loop."""
        __tracebackhide__ = True
        return await self._environment.in_thread(self.consume, count, timeout, isolation_level)

    async def await_for_records(
        self,
        count: int,
        timeout: float = WAIT_S,  # noqa: ASYNC109 as in `wait_for_records`
        isolation_level: Isolation = COMMITTED,
    ) -> list[Record]:
        """As `wait_for_records`, without blocking the event loop."""
        __tracebackhide__ = True
        return await self._environment.in_thread(self.wait_for_records, count, timeout, isolation_level)

    async def alag(self, group: str) -> int:
        """As `lag`, without blocking the event loop."""
        __tracebackhide__ = True
        return await self._environment.in_thread(self.lag, group)

    async def await_until_read(self, group: str, timeout: float = WAIT_S) -> None:  # noqa: ASYNC109
        """As `wait_until_read`, without blocking the event loop."""
        __tracebackhide__ = True
        await self._environment.in_thread(self.wait_until_read, group, timeout)


def _cut(value: bytes | None) -> str:
    return repr(value) if value is None or len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]!r}…"


def _listed(records: list[Record]) -> str:
    if not records:
        return "no records"
    count = counted("record", len(records))
    shown = ", ".join(_cut(record.value) for record in records[:_SHOWN])
    return f"{count} ({shown}{', …' if len(records) > _SHOWN else ''})"
