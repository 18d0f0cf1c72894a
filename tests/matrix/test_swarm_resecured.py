"""Another security of running nodes in a swarm, which does not give their secrets back; and other ports."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine import Provision, image, wait_until
from tests.swarm import Lab

pytestmark = [pytest.mark.engine, pytest.mark.soak, pytest.mark.row("swarm")]

NAME = "resecured"
FILE = """
name: resecured
runtime: swarm
kafka: {mode: kraft}
brokers: {nodes: 2, port: 9192}
users: [{name: app}]
topics: [{name: orders, partitions: 2, replication_factor: 2}]
"""


@pytest.fixture
def provision(swarm: Lab, tmp_path: Path) -> Iterator[Provision]:
    first = swarm.hosts[0]
    run = Provision(tmp_path / "home", "swarm", environment={"DOCKER_HOST": first.docker_host}, own_image=False)
    yield run
    run("down", NAME)
    assert wait_until(lambda: not swarm.traces(NAME)), swarm.traces(NAME)


@pytest.mark.parametrize("publish", ["host", "none"])
def test_nodes_change_their_security_one_after_the_other_by_the_secrets_of_the_home(
    swarm: Lab, provision: Provision, tmp_path: Path, publish: str
) -> None:
    file = tmp_path / f"{NAME}.yaml"
    file.write_text(f"{FILE}swarm: {{publish: {publish}, encrypted: false, engines: {swarm.engines}}}\n")
    arguments = [str(file), "--set", f"kafka.image={image()}"]
    provision.ok("up", *arguments, "--timeout", "240s", "--set", "security=mtls")
    provision.ok("produce", NAME, "orders", "--user", "app", stdin="before\n")
    wanted = [*arguments, "--set", "security=sasl-tls"]
    told = provision.ok_err("up", *wanted, "--yes", "--timeout", "240s")
    assert told.count("broker-2 re") >= 3, told
    provision.ok("produce", NAME, "orders", "--user", "app", stdin="after\n")
    read = provision.ok("consume", NAME, "orders", "--from-beginning", "-n", "2", "--user", "app")
    assert sorted(read.split()) == ["after", "before"]
    _require_nothing_to_do(provision, wanted)


@pytest.mark.parametrize(("before", "after"), [("host", "none"), ("none", "host")])
def test_ports_are_published_or_no_longer_one_broker_after_the_other(
    swarm: Lab, provision: Provision, tmp_path: Path, before: str, after: str
) -> None:
    file = tmp_path / f"{NAME}.yaml"
    file.write_text(f"{FILE}security: mtls\nswarm: {{encrypted: false, engines: {swarm.engines}}}\n")
    arguments = [str(file), "--set", f"kafka.image={image()}", "--timeout", "240s", "--yes", "--set"]
    closed = [host.listening for host in swarm.hosts]
    provision.ok("up", *arguments, f"swarm.publish={before}")
    provision.ok("produce", NAME, "orders", "--user", "app", stdin="before\n")
    wanted = [*arguments, f"swarm.publish={after}"]
    refused = provision("up", *wanted, "--set", "security=sasl-tls")
    assert (refused.code, "swarm.publish changes at the same time" in refused.err) == (4, True), refused.err
    told = provision.ok_err("up", *wanted)
    assert told.count(" replaced (") == 2, told
    opened = [host for host, ports in zip(swarm.hosts, closed, strict=True) if host.listening != ports]
    assert len(opened) == (2 if after == "host" else 0)
    provision.ok("produce", NAME, "orders", "--user", "app", stdin="after\n")
    read = provision.ok("consume", NAME, "orders", "--from-beginning", "-n", "2", "--user", "app")
    assert sorted(read.split()) == ["after", "before"]
    _require_nothing_to_do(provision, [str(file), "--set", f"kafka.image={image()}", "--set", f"swarm.publish={after}"])


def _require_nothing_to_do(provision: Provision, arguments: list[str]) -> None:
    again = provision("plan", *arguments, "--detailed-exitcode")
    assert (again.code, again.out) == (0, f"{NAME}: nothing to change\n"), again.err
