"""Commands that look: status, list, wait, logs, endpoints, env, client-config."""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provision.cli.environment import select
from provision.cli.groups import LOOK
from provision.cli.options import At, Env, Junit, Nodes, Output, Timeout, Until, level, seconds
from provision.cli.output import (
    Format,
    age,
    print_error,
    print_table,
    print_value,
    say,
    styled,
    tell_notices,
    write_line,
)
from provision.cli.progress import progress
from provision.cli.streams import Purpose, leaving_with_reader, write_as
from provision.cli.words import env_and_nodes
from provision.common.counts import counted
from provision.common.whole_files import is_stream, told_as_unwritable, write_output
from provision.errors import InvalidEnvironment, ProvisionError, UsageError

if TYPE_CHECKING:
    from provision.cluster.model import Topic
    from provision.environment import Environment
    from provision.observe.readiness import Assessment
    from provision.security.listening import HostListener


def node_rows(assessment: "Assessment") -> Iterator[tuple[object, ...]]:
    """A row for each node: name, state (of a running one, how it answers, if it was asked), endpoint."""
    from provision.operations.status import node_states

    for name, _, state, endpoint in node_states(assessment):
        health = assessment.health.get(name)
        yield (name, health.condition if health else state, endpoint)


def declared_topics(environment: "Environment") -> "Sequence[Topic] | None":
    """The topics of the file, or None if only the name is known."""
    _ = environment.name  # without one, there is nothing to look at
    try:
        return environment.declared_topics()
    except InvalidEnvironment as error:
        problems = counted("problem", len(error.problems))
        say(f"{environment.file} is not valid ({problems}): looking only at what runs")
        return None


def tell_if_trained(environment: "Environment") -> None:
    """Say that archives are being trained in the background, if so."""
    if trainer := environment.trainer:
        say(f"{environment.name}: {trainer}")


def status(
    env: Env = None,
    output: Output = Format.TABLE,
    watching: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again and again, and show what changes, until Ctrl-C.")
    ] = False,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="DURATION", help="How long to pause between two looks. [default: 2s]"),
    ] = None,
) -> None:
    """Show how ready an environment is, its nodes and its topics."""
    from provision.cli.history import tell_if_killed
    from provision.operations.certificates import ends_soon
    from provision.operations.status import after_loss, files_told, nothing_left, status_dict
    from provision.operations.whose import other_origin

    if every and not watching:
        raise UsageError("--every goes with --watch")
    every_s = seconds("--every", every or "2s")
    environment = select(env)
    tell_if_killed(environment.name, environment.history())
    tell_if_trained(environment)
    _ = environment.runtime  # the notice of an unreachable engine comes first
    topics = declared_topics(environment)
    if watching:
        from provision.cli.watch import watch

        watch(lambda: environment.status(topics), every_s, output)
        return
    assessment = environment.status(topics)
    if environment.file and (origin := other_origin(assessment.observed.about, environment.source)):
        say(f"{environment.name} was made from {origin}, and not from {environment.file}")
    if ends := ends_soon(assessment.observed):
        say(f"{environment.name}: {ends}")
    if told := files_told(assessment):
        say(f"{environment.name}: {told}")
    shown = status_dict(assessment)
    if output is not Format.TABLE:
        print_value(shown, output)
        return
    ready = "ready" if shown["ready"] else "not ready"
    version = shown["kafka"]["version"] or "(version unknown)"
    say(f"{shown['name']}: {ready} (level {shown['level']}), Kafka {version}, {shown['runtime']}")
    if lost := nothing_left(assessment.observed):
        say(f"{lost}: {after_loss(environment.name)}")
        return
    lacking = bool(assessment.missing)
    engines = {node.name: node.engine for node in assessment.observed.nodes if node.engine}
    further = [("ENGINE", engines)] * bool(engines) + [("LACKS", assessment.missing)] * lacking
    rows = ((*row, *(known.get(str(row[0]), "") for _, known in further)) for row in node_rows(assessment))
    print_table(("NODE", "STATE", "ENDPOINT", *(header for header, _ in further)), rows)
    if len(shown["listeners"]) > 1:
        sys.stdout.write("\n")
        of_listeners = ("name", "security", "bootstrap_servers")
        rows_of_listeners = ([listener[column] for column in of_listeners] for listener in shown["listeners"])
        print_table(("LISTENER", "SECURITY", "BOOTSTRAP SERVERS"), rows_of_listeners)
    if shown["topics"]:
        sys.stdout.write("\n")
        columns = ("name", "partitions", "replication_factor", "under_replicated")
        rows_of_topics = ([topic[column] for column in columns] for topic in shown["topics"])
        print_table(("TOPIC", "PARTITIONS", "RF", "UNDER-REPLICATED"), rows_of_topics)


def list_environments(output: Output = Format.TABLE) -> None:
    """List all environments of this user and this engine."""
    from provision.environment import Environment
    from provision.plan.observed import NodeState

    found = []
    failed: list[ProvisionError] = []
    for environment in Environment.all(on_event=tell_notices):
        try:
            observed = environment.runtime.observe(environment.name)
        except ProvisionError as error:  # the others are listed all the same
            failed.append(error)
            continue
        running = sum(node.is_alive and node.state is not NodeState.PAUSED for node in observed.nodes)
        age_s = None if observed.created_s is None else max(int(time.time() - observed.created_s), 0)
        found.append(
            {
                "name": observed.name,
                "runtime": observed.runtime,
                "version": observed.version,
                "nodes": len(observed.nodes) + len(observed.gone),
                "running": running,
                "age_s": age_s,
                "file": observed.about.file if observed.about else None,
                "home": observed.about.home if observed.about else None,
                "owner": observed.about.owner if observed.about else None,
                "expires_s": observed.expires_s,
                "bootstrap_servers": observed.bootstrap_servers,
            }
        )
    _print_list(found, output)
    for earlier in failed[:-1]:
        print_error(earlier)
    if failed:
        raise failed[-1]


def _print_list(found: Sequence[Mapping[str, Any]], output: Format) -> None:
    if output is not Format.TABLE:
        print_value(found, output)
        return
    if not found:
        say("there is no environment; `provision up` makes one")
        return
    rows = (
        (
            e["name"],
            e["runtime"],
            e["version"],
            f"{e['running']} of {e['nodes']}",
            age(e["age_s"]),
            e["bootstrap_servers"],
        )
        for e in found
    )
    print_table(("NAME", "RUNTIME", "KAFKA", "RUNNING", "AGE", "BOOTSTRAP SERVERS"), rows)


def wait(env: Env = None, until: Until = "topics", timeout: Timeout = "120s", junit: Junit = None) -> None:
    """Wait until an environment has reached a readiness level."""
    from provision.cli.junit import reported

    with progress() as tell, reported(junit, env) as report:
        wanted, timeout_s = level(until), seconds("--timeout", timeout)
        environment = report.about(select(env, tell=tell))
        environment.wait(wanted, declared_topics(environment), timeout_s=timeout_s)
    say(f"{environment.name} has reached the level {wanted}")


def logs(
    env: Env = None,
    nodes: Nodes = None,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=0, help="Show only the last N lines of each node.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until the nodes have exited.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE",
            help="Write a .tar.gz instead: logs, configuration, status, plan, versions and history, without secrets.",
        ),
    ] = None,
) -> None:
    """Show what nodes logged, in the order of time."""
    from provision.operations.status import require_known, require_nodes

    env, wanted = env_and_nodes(env, nodes)
    environment = select(env)
    if bundle is not None:
        if follow or wanted:
            raise UsageError(f"--bundle has all nodes: it goes without {'--follow' if follow else 'NODE'}")
        _write_bundle(environment, bundle, tail)
        return
    observed = require_nodes(environment.runtime, environment.name)
    require_known(observed, wanted)
    write_as(Purpose.STREAM)
    chosen = wanted or [node.name for node in observed.nodes]
    prefixes = _prefixes(chosen) if len(wanted) != 1 else {}
    with leaving_with_reader():
        for node, line in environment.logs(chosen, tail=tail, follow=follow):
            write_line(f"{prefixes.get(node, '')}{line}")
            if follow:
                sys.stdout.flush()


def _write_bundle(environment: "Environment", file: Path, tail: int | None) -> None:
    lacking = environment.bundle(file, tail=tail)
    say(f"wrote {file}; passwords and keys in it are hidden")
    for what in lacking:
        say(f"not in it: {what}")


def _prefixes(nodes: Sequence[str]) -> dict[str, str]:
    """What stands before a node's lines: its name, on a terminal in a color of its own."""
    width = max(map(len, nodes), default=0)
    colors = itertools.cycle(("cyan", "yellow", "green", "magenta", "blue", "red"))
    return {
        node: styled(f"{node.ljust(width)} |", color=color, stream=sys.stdout) + " "
        for node, color in zip(nodes, colors, strict=False)
    }


def endpoints(env: Env = None, output: Output = Format.TABLE) -> None:
    """Show where each node is reached, from here and from inside."""
    from provision.operations.status import require_nodes

    environment = select(env)
    nodes = require_nodes(environment.runtime, environment.name).nodes
    rows = [(node.name, node.endpoint, environment.inside_address(node.name), node.listeners) for node in nodes]
    if output is not Format.TABLE:
        print_value([_reached(*row) for row in rows], output)
    elif any(node.listeners for node in nodes):
        print_table(("NODE", "LISTENER", "SECURITY", "FROM HERE", "INSIDE"), itertools.chain(*map(_at_each, rows)))
    else:
        print_table(("NODE", "FROM HERE", "INSIDE"), [row[:3] for row in rows])


def _reached(name: str, here: str | None, inside: str, listeners: Sequence["HostListener"]) -> dict[str, object]:
    named = [{"name": one.known_as, "security": one.security, "endpoint": one.endpoint} for one in listeners]
    return {"node": name, "endpoint": here, "inside": inside, **({"listeners": named} if named else {})}


def _at_each(row: tuple[str, str | None, str, Sequence["HostListener"]]) -> list[tuple[str | None, ...]]:
    name, here, inside, listeners = row
    if not listeners:
        return [(name, None, None, here, inside)]
    return [(name, one.known_as, one.security, one.endpoint, inside) for one in listeners]


def env_variables(
    env: Env = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="How: shell, dotenv, json, github, spring or librdkafka."),
    ] = "shell",
    listener: At = "",
) -> None:
    """Print the addresses for clients: eval "$(provision env)"."""
    from provision.operations.variables import FORMATS

    if form not in FORMATS:
        raise UsageError(f"{form!r} is not a format of addresses", hint=f"one of {', '.join(FORMATS)}")
    for line in FORMATS[form](select(env, listener=listener).addresses()):
        write_line(line)


def client_config(
    env: Env = None,
    form: Annotated[
        str,
        typer.Option("--format", "-f", help="properties, librdkafka, kafka-python, spring, env or kcat."),
    ] = "properties",
    user: Annotated[str, typer.Option("--user", "-u", help="Who gets in, if clients have to say who they are.")] = "",
    listener: Annotated[
        str,
        typer.Option(
            "--listener", metavar="NAME", help="Which listener, if there are several; else the first that fits."
        ),
    ] = "",
    inside: Annotated[bool, typer.Option("--inside", help="For a client in the environment's network.")] = False,
    store: Annotated[
        str,
        typer.Option(
            "--store", metavar="FORMAT", help="For Java: keys and certificates in stores beside --out. pkcs12."
        ),
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Write a file that only you can read.")] = None,
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="Print keys and passwords even to a terminal.")
    ] = False,
) -> None:
    """Print what a client needs to get in."""
    stores = _with_stores(out, store) if store else None
    config = select(env).client_config(form, user, inside=inside, listener=listener, stores=stores)
    if config.secret and not show_secrets and _is_terminal(out):
        raise UsageError(
            "it has a key or a password in it, which the terminal would show",
            hint="--out FILE writes it into a file that only you can read; --show-secrets shows it",
        )
    if out:
        with told_as_unwritable(out):
            write_output(out, config.text, 0o600)
        for file in (*config.files, out.absolute() if config.files else out):
            say(f"wrote {file}")
        _tell_of_mounts(config.mounts)
        return
    for line in config.text.removesuffix("\n").split("\n"):
        write_line(line)
    _tell_of_mounts(config.mounts)


def _tell_of_mounts(files: Sequence[Path]) -> None:
    if files:
        say(f"mount into the client's container, at the same path: {', '.join(map(str, files))}")


def _with_stores(out: Path | None, store: str) -> Path:
    """The file that refers to stores.

    Raises:
        UsageError: there is no such format of stores, or no file.
    """
    if store != "pkcs12":
        raise UsageError(f"there is no format {store!r} of stores", hint="known: pkcs12, which Java also reads as JKS")
    if out is None or is_stream(out) or (out.exists() and not out.is_file()) or out.suffix in (".p12", ".password"):
        hint = "name one with --out FILE, such as client.properties"
        raise UsageError("the stores are written beside a file that refers to them", hint=hint)
    return out


def _is_terminal(out: Path | None) -> bool:
    """Whether what is written to a file, or without one to standard output, is seen on a terminal."""
    if out is None:
        return sys.stdout.isatty()
    try:
        if not out.is_char_device():
            return False
        with out.open("wb", buffering=0) as stream:
            return stream.isatty()
    except OSError:
        return False  # nothing can be written there, as the write says


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands: dict[str, Callable[..., None]] = {
        "status": status,
        "list": list_environments,
        "wait": wait,
        "logs": logs,
        "endpoints": endpoints,
        "env": env_variables,
        "client-config": client_config,
    }
    for name, command in commands.items():
        app.command(name, rich_help_panel=LOOK)(command)
