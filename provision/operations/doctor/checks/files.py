"""What somebody or something did to the files of nodes: edited, damaged, and notes that cannot be read."""

import json
from collections.abc import Iterator

from provision.cluster.fingerprint import config_hash
from provision.cluster.model import LAUNCH_FILE, UNREADABLE, RenderedFile, Role
from provision.cluster.properties import parse
from provision.operations.doctor.away import first_few
from provision.operations.doctor.facts import Facts, NodeFacts, known
from provision.operations.doctor.findings import Finding, Severity
from provision.operations.doctor.places import place_of_file, place_of_setting
from provision.operations.doctor.registry import check
from provision.plan.differences import Difference, differences, same_setting
from provision.plan.observed import NodeState, ObservedNode

# What a broker that does not run has taken over cannot be asked.
_OR_UNDONE = ", or the environment file no longer has what was changed without a restart"


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
    """Configuration files that differ from what `up` has written, by what they say."""
    rendered = known(facts.rendered)
    for node in facts.there:
        about = facts.nodes.get(node.name)
        files = known(about.files) if about else None
        if not about or not files or not node.config_hash or any(map(_damage, files)):
            continue
        if config_hash(node.name, files) == node.config_hash:
            continue
        wanted = tuple(file for file in rendered or () if file.node == node.name)
        changed = differences(wanted, files) if wanted else ()
        # A setting that a running broker took over is in its file, without another fingerprint of the node.
        unexplained = [one for one in changed if not _was_taken_over(facts, node, one)]
        if _is_unknown(facts, node):
            continue
        if unexplained if wanted else node.role != Role.BROKER:
            yield _edited(facts, node, about, unexplained)


def _is_unknown(facts: Facts, node: ObservedNode) -> bool:
    """Whether a broker runs and does not tell what it took over."""
    tells = node.number in (known(facts.inside.settings) or {})
    return node.role == Role.BROKER and node.state is NodeState.RUNNING and not tells


def _was_taken_over(facts: Facts, node: ObservedNode, change: Difference) -> bool:
    set_on_broker = (known(facts.inside.settings) or {}).get(node.number, {}) if node.role == Role.BROKER else {}
    after = change.after if isinstance(change.after, str) else None
    return change.key in set_on_broker and same_setting(set_on_broker[change.key], after)


def _edited(facts: Facts, node: ObservedNode, about: NodeFacts, changed: list[Difference]) -> Finding:
    places = (place_of_setting(facts, about, one.key) or place_of_file(facts, about.name, one.file) for one in changed)
    return Finding(
        "file-edited",
        f"the files of {node.name} are not as `up` has written them",
        evidence=first_few(map(str, changed)) or (f"their fingerprint is not {node.config_hash}",),
        cause="they were edited by hand"
        + _OR_UNDONE * (node.state is not NodeState.RUNNING and node.role == Role.BROKER),
        file=next(places, ""),
        fix=f"provision up {facts.name}, which writes them again; what shall stay belongs into the environment file",
        severity=Severity.WARNING,
        node=node.name,
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
