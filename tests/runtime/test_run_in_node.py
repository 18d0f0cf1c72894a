"""What runs inside a node runs with the Java and the jars of that node's own image."""

import pytest

from provision.kafka.zookeeper import FOUR_LETTER_WORD_MAIN
from provision.runtime.base import JavaCommand
from provision.runtime.docker import containers
from provision.runtime.docker.runtime import DockerRuntime
from tests.engine import engine, image
from tests.image.layouts import ensure_layout

pytestmark = [pytest.mark.engine, pytest.mark.row("apart")]

NAME = "run-in-node-test"


@pytest.mark.parametrize("own", ["bitnamilegacy/kafka:3.9.1", "confluentinc/cp-kafka:7.9.1", "zookeeper:3.8.4"])
def test_whatever_image_the_environments_kafka_has(own: str) -> None:
    api = engine().api
    labels = {
        containers.ENVIRONMENT: NAME,
        containers.NODE: "zookeeper-1",
        containers.ROLE: "zookeeper",
        containers.SOFTWARE: image(),
    }
    node = api.create_container(ensure_layout(own), entrypoint=["sleep", "60"], labels=labels)["Id"]
    try:
        api.start(node)
        asked = JavaCommand(FOUR_LETTER_WORD_MAIN, ("127.0.0.1", "1", "srvr"))
        code, output = DockerRuntime().run_in_node(NAME, "zookeeper-1", asked)
    finally:
        api.remove_container(node, force=True, v=True)
    assert code == 1
    assert "Connection refused" in output
