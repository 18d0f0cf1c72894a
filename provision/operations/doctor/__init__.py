"""What is wrong with an environment or this machine, why, and what mends it.

`examine.py` is the whole way: gather facts once, side by side and with a time limit, let every check look at them, and
repair what is safe to repair. Nothing but a repair changes anything.

**To add a known failure**, write one entry into a module of `checks/` (a new module also gets a line in
`checks/__init__.py`):

    @check("stale-throttle")
    def stale_throttle(facts: Facts) -> Iterator[Finding]:
        \"\"\"A throttle of a reassignment that has ended still slows the brokers down.\"\"\"
        settings = known(facts.inside.settings)                    # None if the brokers could not be asked
        ...
            yield Finding(
                "stale-throttle",
                f"{node} still has the throttle of a reassignment that has ended",
                evidence=(f"leader.replication.throttled.rate={rate}",),
                cause="...",
                file=facts.line_of("throttle"),                    # FILE:LINE if the file has that key, else empty
                fix=f"provision up {facts.name}",
                repairs=(Repair("configure", node, act),),         # only if it is safe
            )

- The ids in `@check(...)` are all that the entry can yield. They are stable: scripts compare them. Each id has a row in
  the table of `docs/reference/doctor.md`, which the tests compare with the registry.
- A check only looks at `Facts` (`facts.py`). Whatever could not be asked is `Unasked` with the reason; `known(...)`
  makes None of it. A check never asks anything by itself, so that it can be tested with facts made by hand, as in
  `tests/operations/doctor/`. What no fact has yet is gathered in `gather.py`.
- A healthy environment gives no finding: `tests/e2e/test_doctor.py` examines real ones.
- Why a node *exited*, as its log tells, is not a check but an entry in `kafka/failures.py`, with an id of its own:
  the check in `checks/exits.py` reports all of them.
"""
