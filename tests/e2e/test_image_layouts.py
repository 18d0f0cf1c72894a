"""Images laid out otherwise than Apache's run as well; one that is laid out like none is named before it starts."""

import json
from pathlib import Path

import pytest

from tests.engine import Provision, engine, write_environment
from tests.image.layouts import ensure_layout

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def provision(tmp_path_factory: pytest.TempPathFactory) -> Provision:
    """Only on an engine, with the images that the files name."""
    engine()
    return Provision(tmp_path_factory.mktemp("home"), own_image=False)


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("kafka", "zookeeper", "user"),
    [
        ("confluentinc/cp-kafka:7.9.1", "zookeeper:3.8.4", "1000:1000"),
        ("bitnamilegacy/kafka:3.9.1", None, "1001:1001"),
    ],
    ids=["confluent with zookeeper's own", "bitnami"],
)
def test_it_runs_and_carries_records(
    provision: Provision, tmp_path: Path, kafka: str, zookeeper: str | None, user: str
) -> None:
    ensemble = f"image: {ensure_layout(zookeeper)}, " if zookeeper else ""
    file = f"""
kafka: {{image: {ensure_layout(kafka)}}}
zookeeper: {{{ensemble}port: auto}}
brokers: {{port: auto}}
topics: [{{name: t}}]
"""
    env = write_environment(tmp_path, "laid-out", file)
    assert json.loads(provision.ok("up", env, "-o", "json", "--until", "roundtrip"))["ready"]
    images = {
        name: engine().api.inspect_container(f"laid-out-{name}")["Config"] for name in ("broker-1", "zookeeper-1")
    }
    assert images["broker-1"]["Image"] == f"layouts.test/{kafka}"
    assert images["zookeeper-1"]["Image"] == f"layouts.test/{zookeeper or kafka}"
    assert {image["User"] for image in images.values()} == {user, "1000:1000" if zookeeper else user}
    assert ("logback" in provision.ok("logs", env, "zookeeper-1")) is bool(zookeeper)
    assert provision.ok("tool", env, "kafka-topics", "--", "--list").split() == ["t"]
    provision.ok("produce", env, "t", stdin="kept\n")
    provision.ok("stop", env)
    provision.ok("start", env)
    assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1") == "kept\n"
    assert provision("plan", env, "--detailed-exitcode").code == 0
    provision.ok("down", env)
    assert provision.traces("laid-out") == []


@pytest.mark.matrix
def test_an_ensemble_with_an_image_of_its_own_and_no_port_grows_and_is_rolled(
    provision: Provision, tmp_path: Path
) -> None:
    file = f"""
kafka: {{image: {ensure_layout("confluentinc/cp-kafka:7.9.1")}}}
zookeeper: {{image: {ensure_layout("bitnamilegacy/kafka:3.9.1")}, nodes: NODES, properties: {{snapCount: 5000}}}}
brokers: {{port: auto}}
"""
    env = write_environment(tmp_path, "laid-out-three", file.replace("NODES", "1"))
    provision.ok("up", env)
    write_environment(tmp_path, "laid-out-three", file.replace("NODES", "3"))
    provision.ok("up", env, "--yes")
    write_environment(tmp_path, "laid-out-three", file.replace("NODES", "3").replace("5000", "6000"))
    provision.ok("up", env, "--yes")
    assert json.loads(provision.ok("status", env, "-o", "json"))["ready"]
    provision.ok("down", env)


def test_an_image_that_is_laid_out_like_none_is_named_with_what_was_looked_for(
    provision: Provision, tmp_path: Path
) -> None:
    engine().api.tag(ensure_layout("zookeeper:3.8.4"), "layouts.test/mine", "1")
    env = write_environment(tmp_path, "laid-out", "kafka: {image: 'layouts.test/mine:1'}\nbrokers: {port: auto}\n")
    result = provision("up", env)
    engine().api.remove_image("layouts.test/mine:1")
    assert result.code == 1
    assert "the image layouts.test/mine:1 is not laid out like apache/kafka" in result.err
    assert "it has no jars in /opt/kafka/libs" in result.err
    assert "confluentinc/cp-kafka" in result.err
    assert provision.traces("laid-out") == []
