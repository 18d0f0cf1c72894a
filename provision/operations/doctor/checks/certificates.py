"""Certificates that end."""

from collections.abc import Iterator

from provision.operations.certificates import mends
from provision.operations.doctor.away import first_few
from provision.operations.doctor.facts import Facts, known
from provision.operations.doctor.findings import Finding, Severity
from provision.operations.doctor.registry import check
from provision.security.certificates import SOON_DAYS


@check("certificate-ended", "certificate-ends-soon")
def certificate_ends(facts: Facts) -> Iterator[Finding]:
    """A certificate has ended, so that whoever checks it lets its owner in no more, or will end soon."""
    found = [(one, one.says.days_left()) for one in known(facts.certificates) or ()]
    ended = [one for one, days in found if days < 0]
    soon = [one for one, days in found if 0 <= days < SOON_DAYS]
    for identity, ending, severity in (
        ("certificate-ended", ended, Severity.ERROR),
        ("certificate-ends-soon", soon, Severity.WARNING),
    ):
        if ending:
            yield Finding(
                identity,
                f"certificates of {facts.name} {'have ended' if ended is ending else f'end within {SOON_DAYS} days'}",
                evidence=first_few(f"{one.kind} {one.name}: {one.says.ends:%Y-%m-%d %H:%M} UTC" for one in ending),
                cause="`up` renews those of nodes and users in their last days, and it did not run since; an authority "
                "is only replaced by hand",
                fix=mends(facts.name, [one.kind for one in ending]),
                severity=severity,
            )
