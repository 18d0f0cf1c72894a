"""A closed cluster over three engines: who reaches it from where, and where its secrets are not."""

import contextlib
import io
import json
import os
import tarfile
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, Producer

from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering
from provision.kafka.metadata import observe_cluster
from tests.engine import image, wait_until
from tests.matrix.fleet import NAME, Fleet
from tests.swarm import MANAGEMENT_PORTS, Host, Lab

pytestmark = [pytest.mark.engine, pytest.mark.matrix, pytest.mark.row("swarm")]

CLIENT, TOPIC = "client.properties", "clients"


def test_a_client_outside_and_one_in_a_container_on_any_engine_exchange_records(fleet: Fleet) -> None:
    provision = fleet.provision
    provision.ok("topics", "create", NAME, TOPIC, "--partitions", "3", "--replication-factor", "3")
    outside = json.loads(provision.ok("client-config", NAME, "--user", "app", "--format", "librdkafka"))
    assert outside["security.protocol"] == "SASL_SSL"
    producer = Producer({**outside, "acks": "all"})
    producer.produce(TOPIC, b"from outside")
    assert producer.flush(60) == 0
    config = provision.ok("client-config", NAME, "--user", "app", "--format", "properties", "--inside")
    for host in fleet.lab.hosts:
        assert f"{NAME}-broker-1:9092" in config
        _run_client(host, config, "kafka.tools.ConsoleProducer", "--producer.config", stdin=f"from {host.name}\n")
    tool = "org.apache.kafka.tools.consumer.ConsoleConsumer"
    more = ("--from-beginning", "--max-messages", "4", "--timeout-ms", "60000")
    read = _run_client(fleet.lab.hosts[1], config, tool, "--consumer.config", *more)
    assert {"from outside", *(f"from {host.name}" for host in fleet.lab.hosts)} <= set(read.splitlines())
    assert "from engine-c" in _read(outside, 4)


def test_its_secrets_are_in_nothing_that_is_listed_shown_or_written(fleet: Fleet) -> None:
    secrets = _secrets(fleet)
    assert len(secrets) >= 3
    commands = [
        *(["logs", NAME], ["status", NAME, "-o", "json"], ["history", NAME, "-o", "json"], ["env", NAME]),
        *(["plan", *fleet.file, "-o", "json"], ["doctor", NAME, "-o", "json"], ["certs", "show", NAME]),
    ]
    told = [fleet.provision(*command) for command in commands]
    shown = [fleet.told, *(text for one in told for text in (one.out, one.err))]
    shown += map(str, _listed(fleet.lab))
    for process in psutil.process_iter():
        if process.pid != os.getpid():
            with contextlib.suppress(psutil.Error):
                shown += [" ".join(process.cmdline()), *process.environ().values()]
    assert any(f"{NAME}-broker-1" in text for text in shown)
    assert any("kafka.Kafka" in text for text in shown)
    assert not [secret[:6] for secret in secrets for text in shown if secret in text]


def test_nothing_plain_listens_beyond_the_overlay(fleet: Fleet) -> None:
    for number, host in enumerate(fleet.lab.hosts):
        published = 9092 + number
        assert host.listening == MANAGEMENT_PORTS | {published}
        with pytest.raises(NotAnswering, match=r"closes the connection|TLS"):
            observe_cluster(Access({1: f"{host.address}:{published}"}), 1, 10.0)
        stranger = Access({1: f"{host.address}:{published}"}, "SSL", ca=_authority(fleet))
        with pytest.raises(NotAnswering, match="asks for a password"):
            observe_cluster(stranger, 1, 10.0)


def _secrets(fleet: Fleet) -> list[str]:
    """Every password, and a line of each private key, that it has."""
    store = fleet.home / "secrets" / NAME
    texts = {file: file.read_text() for file in store.iterdir()}
    passwords = [text for file, text in texts.items() if file.suffix == ".password"]
    return [*passwords, *(text.splitlines()[1] for text in texts.values() if "PRIVATE KEY" in text)]


def _authority(fleet: Fleet) -> str:
    (found,) = (fleet.home / "secrets" / NAME).glob("ca.pem")
    return str(found)


def _run_client(host: Host, config: str, tool: str, option: str, *more: str, stdin: str = "") -> str:
    """Run one of Kafka's clients in a container of its own in the overlay; returns what it writes."""
    api = host.client.api
    server = config.splitlines()[0].partition("=")[2]
    arguments = ["--bootstrap-server", server, "--topic", TOPIC, option, f"/tmp/{CLIENT}", *more]
    java = " ".join(["exec java -Xmx128m -cp '/opt/kafka/libs/*'", tool, *arguments])
    feed = f"printf %s '{stdin}' | ({java})" if stdin else java
    made = api.create_container(
        image(), entrypoint=["sh", "-c", feed], host_config=api.create_host_config(network_mode=NAME)
    )["Id"]
    try:
        api.put_archive(made, "/tmp", _tar(config))
        api.start(made)
        code, said = api.wait(made, timeout=120)["StatusCode"], api.logs(made).decode()
        assert code == 0, said
        return str(api.logs(made, stderr=False).decode())
    finally:
        api.remove_container(made, force=True, v=True)


def _tar(config: str) -> bytes:
    buffer, content = io.BytesIO(), config.encode()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(CLIENT)
        member.size, member.mode = len(content), 0o644
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _read(settings: dict[str, str], count: int) -> set[str]:
    consumer = Consumer({**settings, "group.id": f"test-{os.getpid()}", "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    seen: set[str] = set()

    def all_are_read() -> bool:
        message = consumer.poll(1.0)
        if message is not None and not message.error():
            seen.add((message.value() or b"").decode())
        return len(seen) >= count

    try:
        wait_until(all_are_read)
    finally:
        consumer.close()
    return seen


def _listed(lab: Lab) -> Iterator[Any]:
    """Everything that a manager and each engine tell of what they have."""
    api = lab.hosts[0].client.api
    for service in api.services():
        yield api.inspect_service(service["ID"])
    for config in api.configs():
        told = api.inspect_config(config["ID"])
        yield told
        yield _decoded(told["Spec"].get("Data") or "")
    yield from (api.secrets(), api.tasks(), api.networks(), api.nodes())
    for host in lab.hosts:
        own = host.client.api
        yield own.volumes()
        for container in own.containers(all=True):
            yield own.inspect_container(container["Id"])
            yield own.logs(container["Id"]).decode(errors="replace")


def _decoded(data: str) -> str:
    return b64decode(data).decode(errors="replace")
