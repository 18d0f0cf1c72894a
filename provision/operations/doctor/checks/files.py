"""What somebody or something did to the files of nodes: edited, damaged, and notes that cannot be read."""

import json
from collections.abc import Iterator, Sequence

from provision.cluster.fingerprint import are_incomplete, is_edited
from provision.cluster.model import LAUNCH_FILE, UNREADABLE, RenderedFile
from provision.cluster.properties import parse
from provision.operations.doctor.away import first_few
from provision.operations.doctor.facts import Facts, NodeFacts, known
from provision.operations.doctor.findings import Finding, Severity
from provision.operations.doctor.places import place_of_file, place_of_setting
from provision.operations.doctor.registry import check
from provision.plan.differences import Difference, differences


@check("file-not-text", "file-damaged")
def damaged(facts: Facts) -> Iterator[Finding]:
    """Configuration files that are no text, or cannot be read as what they are."""
    for about in facts.nodes.values():
        for file in known(about.files) or ():
            if found := _damage(file):
                identity, why, line = found
                yield Finding(
                    identity,
                    f"{file.name} of {about.name} {why}",
                    evidence=_shown_line(file, line),
                    cause="it was edited, or the disk damaged it",
                    file=place_of_file(facts, about.name, file.name, line),
                    fix=f"provision up {facts.name}, which writes it again",
                )


def _damage(file: RenderedFile) -> tuple[str, str, int] | None:
    """The id of a file's damage, what it is, and the line; None if it is whole."""
    if file.content == UNREADABLE:
        return "file-damaged", "cannot be read", 0
    if file.is_of_agent:
        return None
    try:
        text = file.content.decode()
    except UnicodeDecodeError as error:
        return "file-not-text", "is not UTF-8 text", file.content.count(b"\n", 0, error.start) + 1
    try:
        if file.name.endswith(".properties"):
            parse(text)
        elif file.name == LAUNCH_FILE:
            json.loads(text)
    except (ValueError, RecursionError) as error:
        return "file-damaged", f"is damaged: {error}", getattr(error, "lineno", 0)
    return None


def _shown_line(file: RenderedFile, line: int) -> tuple[str, ...]:
    if file.secret or not line:
        return ()
    return (ascii(file.content.splitlines()[line - 1].decode(errors="backslashreplace")),)


@check("file-edited")
def edited(facts: Facts) -> Iterator[Finding]:
    """Configuration files that are not as they were written, and can be read."""
    for node in facts.there:
        about = facts.nodes.get(node.name)
        files = known(about.files) if about else None
        if about and files and is_edited(node.name, files) and not any(map(_damage, files)):
            yield _edited(facts, about, _differences(facts, node.name, files))


@check("file-half-written")
def half_written(facts: Facts) -> Iterator[Finding]:
    """Configuration files of which some are those before a change, and others those after it."""
    for node in facts.there:
        about = facts.nodes.get(node.name)
        files = (known(about.files) if about else None) or ()
        if are_incomplete(files) and not any(map(_damage, files)):
            changed = _differences(facts, node.name, files)
            yield Finding(
                "file-half-written",
                f"the files of {node.name} were not written to the end",
                evidence=first_few(map(str, changed)) or ("their fingerprint was not written",),
                cause="a command was killed while it wrote them; the node reads them as they are when it starts again",
                fix=f"provision up {facts.name}, which writes them to the end",
                severity=Severity.WARNING,
                node=node.name,
            )


def _differences(facts: Facts, node: str, files: Sequence[RenderedFile]) -> tuple[Difference, ...]:
    """What the files of a node say otherwise than the environment file."""
    wanted = {file.name: file for file in known(facts.rendered) or () if file.node == node}
    return differences(wanted.values(), [one for one in files if one.name in wanted])


def _edited(facts: Facts, about: NodeFacts, changed: Sequence[Difference]) -> Finding:
    places = (place_of_setting(facts, about, one.key) or place_of_file(facts, about.name, one.file) for one in changed)
    return Finding(
        "file-edited",
        f"the files of {about.name} are not as `up` has written them",
        evidence=first_few(map(str, changed)) or ("their fingerprint is another one",),
        cause="they were edited by hand, or damaged",
        file=next(places, ""),
        fix=f"provision up {facts.name}, which writes them again; what shall stay belongs into the environment file",
        severity=Severity.WARNING,
        node=about.name,
    )


@check("note-damaged")
def notes(facts: Facts) -> Iterator[Finding]:
    """Notes of the program's own that are damaged or gone."""
    for place, damage in facts.damaged.items():
        yield Finding(
            "note-damaged",
            f"{place} is damaged",
            evidence=(damage.why,),
            cause="it was edited, a disk was full, or another version has written it",
            file=place,
            fix=damage.fix,
        )
