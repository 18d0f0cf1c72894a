"""The environment of the tests on a swarm: three controllers and three brokers over its engines, which they share."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer

from tests.engine import Provision, Result, image, wait_until
from tests.swarm import Lab

NAME = "fleet"
FILE = Path("environments/swarm.yaml").absolute()
# As that file says, but small, on test engines, and without IPsec, which a kernel may lack.
_SMALL = ("brokers.heap=256m", "brokers.memory=1g", "swarm.encrypted=false", f"name={NAME}")
_SPREAD = ["engine-a", "engine-a", "engine-b", "engine-b", "engine-c", "engine-c"]


@dataclass
class Fleet:
    """The environment that the documents have, and the command line, which talks to the first engine of the swarm.

    `wanted` is what a test has changed of the file, as `--set` takes it: those after it go on with that.
    """

    lab: Lab
    home: Path
    wanted: dict[str, str] = field(default_factory=dict)
    told: str = ""

    @property
    def provision(self) -> Provision:
        """The command line."""
        docker_host = {"DOCKER_HOST": self.lab.hosts[0].docker_host}
        return Provision(self.home, "swarm", environment=docker_host, own_image=False)

    @property
    def file(self) -> list[str]:
        """The file, as a command takes it."""
        reached = [f"swarm.engines.{host.name}={host.docker_host}" for host in self.lab.hosts]
        changed = [f"{key}={value}" for key, value in self.wanted.items()]
        sets = [*_SMALL, f"kafka.image={image()}", *reached, *changed]
        return [str(FILE), *(word for one in sets for word in ("--set", one))]

    def up(self, *options: str) -> str:
        """Bring it up; returns what was told."""
        return self.provision.ok_err("up", *self.file, "--yes", "--timeout", "240s", *options)

    def plan(self, *options: str) -> Result:
        """What `up` would do."""
        return self.provision("plan", *self.file, *options)

    def require_nothing_to_do(self) -> None:
        """A plan is empty."""
        again = self.plan("--detailed-exitcode")
        assert (again.code, again.out) == (0, f"{NAME}: nothing to change\n"), again.err

    def is_spread(self) -> bool:
        """Whether it is there as the file has it, with two nodes on each engine."""
        return sorted(self.engines().values()) == _SPREAD

    def begins(self) -> None:
        """Let it be as the file has it: as the test before has left it, or made anew."""
        if not self.is_spread():
            self.provision("down", NAME)
            self.wanted.clear()
            self.told = self.up()

    def goes(self) -> None:
        """By `down`, from all engines."""
        self.provision.ok("down", NAME)
        self.wanted.clear()
        assert wait_until(lambda: not self.lab.traces(NAME)), self.lab.traces(NAME)

    def engines(self, *nodes: str) -> dict[str, str]:
        """On which hosts nodes run."""
        found: dict[str, str] = {}
        for host in self.lab.hosts:
            for one in host.client.api.containers() if host.process else ():
                name = one["Names"][0].removeprefix("/").partition(".")[0]
                node = name.removeprefix(f"{NAME}-")
                found |= {node: host.name} if name != node and (not nodes or node in nodes) else {}
        return found

    def status(self) -> str:
        """As `status` shows it."""
        return self.provision("status", NAME).out

    def is_killed(self, until: str, *options: str) -> str:
        """Run `up` and kill it as soon as it has said that; returns what it has said."""
        said = []
        with self.provision.start("up", *self.file, "--yes", *options, start_new_session=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                said.append(line)
                if until in line:
                    os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "".join(said)
        return "".join(said)

    def _settings(self) -> dict[str, Any]:
        """What a client outside of the swarm needs."""
        return dict(json.loads(self.provision.ok("client-config", NAME, "--user", "app", "--format", "librdkafka")))

    @contextmanager
    def writing(self) -> Iterator[set[bytes]]:
        """Write records all the time; what was acknowledged by all in-sync replicas is in the set.

        In the end, all of them are read back.
        """
        producer = Producer({**self._settings(), "acks": "all", "enable.idempotence": True})
        written: set[bytes] = set()
        ended, mark = threading.Event(), os.urandom(4).hex()

        def note(error: KafkaError | None, message: Message) -> None:
            if error is None:
                written.add(message.value() or b"")

        def write() -> None:
            number = 0
            while not ended.wait(0.01):
                producer.produce("orders", f"{mark} {number}".encode(), on_delivery=note)
                producer.poll(0)
                number += 1

        thread = threading.Thread(target=write)
        thread.start()
        try:
            assert wait_until(lambda: len(written) > 100)
            yield written
        finally:
            ended.set()
            thread.join()
            assert producer.flush(60) == 0
        assert written <= self.read(written)

    def goes_on(self, written: set[bytes]) -> bool:
        """Whether more is acknowledged."""
        before = len(written)
        return wait_until(lambda: len(written) > before + 100)

    def read(self, wanted: set[bytes]) -> set[bytes]:
        """The records of the topic, from its beginning until these are among them."""
        group = f"test-{os.getpid()}-{os.urandom(4).hex()}"
        consumer = Consumer({**self._settings(), "group.id": group, "auto.offset.reset": "earliest"})
        consumer.subscribe(["orders"])
        seen: set[bytes] = set()

        def all_are_read() -> bool:
            message = consumer.poll(1.0)
            while message is not None:
                if not message.error():
                    seen.add(message.value() or b"")
                message = consumer.poll(0.1)
            return wanted <= seen

        try:
            wait_until(all_are_read)
        finally:
            consumer.close()
        return seen
