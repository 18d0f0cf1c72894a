"""`provision topics …`: the topics of a running environment."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from provision.cli.environment import located
from provision.cli.options import Env, Output, RequiredEnv
from provision.cli.output import Format, print_table, print_value, say
from provision.errors import UsageError

if TYPE_CHECKING:
    from provision.plan.observed import ObservedTopic

app = typer.Typer(help="List, describe, create and delete topics of a running environment.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(metavar="TOPIC", help="Topics that exist.")]


@app.command("list")
def list_topics(
    env: Env = None,
    internal: Annotated[bool, typer.Option("--internal", help="Kafka's own topics too.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """List topics with what is set on them."""
    from provision.operations import topics

    found = topics(*located(env), internal=internal)
    if output is not Format.TABLE:
        print_value([_as_dict(topic) for topic in found], output)
    elif found:
        print_table(("TOPIC", "PARTITIONS", "RF", "UNDER-REPLICATED", "CONFIG"), (_row(topic) for topic in found))
    else:
        say("there is no topic")


@app.command()
def describe(env: RequiredEnv, names: Names, output: Output = Format.TABLE) -> None:
    """Show partitions, leaders, replicas and in-sync replicas of topics."""
    from provision.operations import topics

    found = topics(*located(env), names)
    if output is not Format.TABLE:
        print_value([_as_dict(topic, partitions=True) for topic in found], output)
        return
    for topic in found:
        print_table(("TOPIC", "PARTITIONS", "RF", "UNDER-REPLICATED", "CONFIG"), [_row(topic)])
        rows = ((p.number, p.leader, _ids(p.replicas), _ids(p.in_sync)) for p in topic.partitions)
        print_table(("PARTITION", "LEADER", "REPLICAS", "IN SYNC"), rows)


@app.command()
def create(
    env: RequiredEnv,
    name: Annotated[str, typer.Argument(metavar="TOPIC", help="Its name.")],
    partitions: Annotated[int, typer.Option("--partitions", "-p", min=1, help="How many.")] = 1,
    replication_factor: Annotated[
        int | None, typer.Option("--replication-factor", "-r", min=1, help="Default: 3, or as many as brokers.")
    ] = None,
    config: Annotated[list[str] | None, typer.Option("--config", metavar="KEY=VALUE", help="Repeatable.")] = None,
) -> None:
    """Create a topic that is not in the file."""
    from provision.operations import NewTopic, create_topic

    pairs = [text.partition("=") for text in config or ()]
    if wrong := [key for key, equals, _ in pairs if not equals or not key]:
        raise UsageError(f"--config {wrong[0]} is not of the form KEY=VALUE")
    new = NewTopic(name, partitions, replication_factor, {key: value for key, _, value in pairs})
    create_topic(*located(env), new)
    say(f"topic {name} is created")


@app.command()
def delete(env: RequiredEnv, names: Names) -> None:
    """Delete topics with all their records."""
    from provision.operations import delete_topics

    delete_topics(*located(env), names)
    say(f"deleted {', '.join(names)}")


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
