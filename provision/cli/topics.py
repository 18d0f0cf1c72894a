"""`provision topics …`: the topics of a running environment, or of any cluster a file names."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from provision.cli import completion
from provision.cli.environment import names_environment, select, select_described
from provision.cli.groups import Commands
from provision.cli.options import At, Env, LockTimeout, Output, Set, TakeOver, Timeout, User, lock_seconds, seconds
from provision.cli.output import Format, as_yaml, print_table, print_value, say, tell_notices, write_line
from provision.cli.streams import Purpose, write_as
from provision.cli.words import env_and_one, env_and_topics
from provision.common.counts import counted
from provision.errors import UsageError
from provision.spec.limits import MAX_PARTITIONS

if TYPE_CHECKING:
    from provision.plan.observed import ObservedTopic

app = typer.Typer(
    cls=Commands,
    help="List, describe, create, delete or apply topics.\n\n"
    "They are the topics of a running environment, or of any cluster that a file names with bootstrap_servers.",
    no_args_is_help=True,
)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="TOPIC", help="Existing topics.", autocompletion=completion.topics)
]


@app.command("list")
def list_topics(
    env: Env = None,
    internal: Annotated[bool, typer.Option("--internal", help="Also list Kafka's own topics.")] = False,
    user: User = "",
    listener: At = "",
    output: Output = Format.TABLE,
) -> None:
    """List topics and the settings made on them."""
    found = select(env, user=user, listener=listener).topics(internal=internal, settings=not user)
    if output is not Format.TABLE:
        print_value([_as_dict(topic) for topic in found], output)
    elif found:
        print_table(("TOPIC", "PARTITIONS", "RF", "UNDER-REPLICATED", "CONFIG"), (_row(topic) for topic in found))
    else:
        say("there is no topic")


@app.command()
def describe(
    env: Env = None, names: Names = None, user: User = "", listener: At = "", output: Output = Format.TABLE
) -> None:
    """Show the partitions of topics, their leaders and replicas."""
    env, wanted = env_and_topics(env, names, names_environment, at_least=1)
    found = select(env, user=user, listener=listener).topics(wanted, settings=not user)
    if output is not Format.TABLE:
        print_value([_as_dict(topic, partitions=True) for topic in found], output)
        return
    for topic in found:
        print_table(("TOPIC", "PARTITIONS", "RF", "UNDER-REPLICATED", "CONFIG"), [_row(topic)])
        rows = ((p.number, p.leader, _ids(p.replicas), _ids(p.in_sync)) for p in topic.partitions)
        print_table(("PARTITION", "LEADER", "REPLICAS", "IN SYNC"), rows)


@app.command()
def create(
    env: Env = None,
    name: Annotated[str | None, typer.Argument(metavar="TOPIC", help="The name of the topic.")] = None,
    partitions: Annotated[
        int, typer.Option("--partitions", "-p", min=1, max=MAX_PARTITIONS, help="The number of partitions.")
    ] = 1,
    replication_factor: Annotated[
        int | None,
        typer.Option(
            "--replication-factor", "-r", min=1, help="Default: 3, or the number of brokers if there are fewer."
        ),
    ] = None,
    config: Annotated[
        list[str] | None, typer.Option("--config", metavar="KEY=VALUE", help="A setting of the topic. Repeatable.")
    ] = None,
    user: User = "",
    listener: At = "",
    take_over: TakeOver = False,
    lock_timeout: LockTimeout = None,
) -> None:
    """Create a topic that is not in the file."""
    env, topic = env_and_one(env, name, "TOPIC")
    pairs = [text.partition("=") for text in config or ()]
    if wrong := [key for key, equals, _ in pairs if not equals or not key]:
        raise UsageError(f"--config {wrong[0]} is not of the form KEY=VALUE")
    settings = {key: value for key, _, value in pairs}
    environment = select(env, take_over=take_over, user=user, listener=listener)
    environment.lock_timeout_s = lock_seconds(lock_timeout)
    environment.create_topic(topic, partitions=partitions, replication_factor=replication_factor, config=settings)
    say(f"topic {topic} is created")


@app.command()
def delete(
    env: Env = None,
    names: Names = None,
    user: User = "",
    listener: At = "",
    take_over: TakeOver = False,
    lock_timeout: LockTimeout = None,
) -> None:
    """Delete topics with all their records."""
    env, unwanted = env_and_topics(env, names, names_environment, at_least=1)
    environment = select(env, take_over=take_over, user=user, listener=listener)
    environment.lock_timeout_s = lock_seconds(lock_timeout)
    environment.delete_topics(unwanted)
    say(f"deleted {', '.join(unwanted)}")


@app.command()
def apply(
    env: Env = None,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TOPIC",
            help="Apply only these topics; nothing is deleted or rebalanced then.",
            autocompletion=completion.topics,
        ),
    ] = None,
    overrides: Set = None,
    timeout: Timeout = "120s",
    take_over: TakeOver = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to deletions without asking.")] = False,
    lock_timeout: LockTimeout = None,
    output: Output = Format.TABLE,
) -> None:
    """Apply the topics, ACLs and quotas of a file to its cluster.

    The nodes of the cluster are left as they are.
    """
    from provision.cli.plans import require_consent
    from provision.cli.progress import progress
    from provision.plan.actions import Plan

    env, chosen = env_and_topics(env, names, names_environment, at_least=0)
    with progress() as tell:
        environment = select_described(env, overrides, tell, take_over=take_over)
        environment.lock_timeout_s = lock_seconds(lock_timeout)

        def agree(plan: Plan) -> None:
            with tell.paused():
                require_consent(plan, yes=yes)

        plan = environment.apply_resources(chosen, timeout_s=seconds("--timeout", timeout), agree=agree)
    write_as(Purpose.REPORT)
    if output is not Format.TABLE:
        print_value(plan.as_dict(), output)
    say(
        f"{environment.name}: {counted('action', len(plan.actions))} done"
        if plan.changes
        else f"{environment.name}: nothing to change"
    )


@app.command()
def adopt(
    env: Annotated[
        str | None,
        typer.Argument(
            metavar="ENV",
            help="A running environment, or a file with bootstrap_servers.",
            autocompletion=completion.environments,
        ),
    ] = None,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(
            "--bootstrap-servers",
            metavar="HOST:PORT",
            help="Addresses of any running cluster; no environment or file is needed.",
        ),
    ] = None,
    replicas: Annotated[bool, typer.Option("--replicas", help="Include the brokers of every partition.")] = False,
) -> None:
    """Print the topics, ACLs and quotas of a cluster as YAML."""
    from provision.environment import Environment

    if env and bootstrap_servers:
        raise UsageError("name an environment or --bootstrap-servers, not both")
    if bootstrap_servers:
        address = _checked(bootstrap_servers)
        environment = Environment(name="adopted", bootstrap_servers=address, on_event=tell_notices)
    else:
        environment = select(env)
    section = environment.adopt(replicas=replicas)
    write_line(as_yaml(section, compact=True))


def _checked(addresses: str) -> str:
    from provision.spec.model import addresses_in

    try:
        return addresses_in(addresses)
    except ValueError as error:
        raise UsageError(f"--bootstrap-servers: {error}") from error


def _ids(ids: tuple[int, ...]) -> str:
    return ",".join(map(str, ids))


def _row(topic: "ObservedTopic") -> tuple[object, ...]:
    config = ", ".join(f"{key}={value}" for key, value in topic.config.items())
    return (topic.name, len(topic.partitions), topic.replication_factor, topic.under_replicated, config or None)


def _as_dict(topic: "ObservedTopic", *, partitions: bool = False) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": topic.name,
        "partitions": len(topic.partitions),
        "replication_factor": topic.replication_factor,
        "under_replicated": topic.under_replicated,
        "config": dict(topic.config),
    }
    if partitions:
        shown["assignment"] = [
            {"partition": p.number, "leader": p.leader, "replicas": list(p.replicas), "in_sync": list(p.in_sync)}
            for p in topic.partitions
        ]
    return shown
