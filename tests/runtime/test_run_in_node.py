"""What runs inside a node runs with the Java and the jars of that node's own image."""

import pytest

from provision.kafka.zookeeper import FOUR_LETTER_WORD_MAIN
from provision.runtime.base import NOT_ENDED, JavaCommand
from provision.runtime.docker import containers, execution
from provision.runtime.docker.runtime import DockerRuntime
from tests.engine import engine, image, wait_until
from tests.image.layouts import ensure_layout

pytestmark = [pytest.mark.engine, pytest.mark.row("apart")]

NAME = "run-in-node-test"


IMAGES = ["bitnamilegacy/kafka:3.9.1", "confluentinc/cp-kafka:7.9.1", "zookeeper:3.8.4"]


@pytest.mark.parametrize("own", IMAGES)
def test_what_does_not_end_is_given_up_and_does_not_stay_in_the_container(
    monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    monkeypatch.setattr(execution, "LIMIT_S", 1)
    api = engine().api
    node = api.create_container(ensure_layout(own), entrypoint=["sleep", "600"], labels={})["Id"]
    try:
        api.start(node)
        assert execution.run(api, node, ["sleep", "601"]) == (NOT_ENDED, "it has not ended within 1 s")
        assert wait_until(lambda: len(api.top(node)["Processes"]) == 1)
    finally:
        api.remove_container(node, force=True, v=True)


@pytest.mark.parametrize("own", IMAGES)
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
