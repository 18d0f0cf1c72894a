"""The same cluster by Docker Compose, written as people write it: plain Java, health checks, and waiting for them.

The image is the same as ours; the JVMs have the options of Kafka's own start scripts and our heap, and the brokers none
of our settings for small clusters. Health checks ask every second, which is more often than people do, and the topics
are created in one request.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks import reached
from benchmarks.bare import OF_SCRIPTS, without_our_settings
from benchmarks.machine import compose
from benchmarks.measuring import CannotRun, Contestant, run
from benchmarks.ours import Program, unique
from benchmarks.shapes import Shape, free_ports, written

MISSING = "Docker Compose is not installed; CONTRIBUTING.md says how to get it"
_JARS, _CONFIG, _DATA = "/opt/kafka/libs/*", "/etc/bench", "/var/lib/kafka/data"


def composed(cache: Path, shape: Shape) -> Contestant:
    """`docker compose up --wait` and the topics, then `docker compose down --volumes`."""

    def lived(empty: Path) -> Mapping[str, Any]:
        command = compose()
        if not command:
            raise CannotRun(MISSING)
        name, ports = unique(), free_ports(shape.brokers + 1)
        file = empty / "compose.yaml"
        file.write_text(yaml.safe_dump(_file(empty, cache, shape, name, ports)), encoding="utf-8")
        whole = [*command, "--project-name", name, "--file", str(file)]
        admin = reached.client([f"127.0.0.1:{port}" for port in ports[1:]])
        try:
            up_s, _ = run([*whole, "up", "--wait", "--quiet-pull"])
            began = time.perf_counter()
            reached.until_in_sync(admin, shape, lambda: None)
            ready_s = up_s + time.perf_counter() - began
        finally:
            down_s, _ = run([*whole, "down", "--volumes"])
        return {"ready": ready_s, "down": down_s}

    return lived


def _file(directory: Path, cache: Path, shape: Shape, name: str, ports: list[int]) -> dict[str, Any]:
    """The Compose file; the properties are those that `provision render` writes, with the names of its services."""
    environment = written(directory, name, shape.text(ports=(ports[0], ports[1])))
    Program(directory, cache)("render", environment, "--out", str(directory / "rendered"))
    services = {}
    for rendered in sorted((directory / "rendered").iterdir()):
        launch = json.loads((rendered / "launch.json").read_text(encoding="utf-8"))
        services[rendered.name] = _service(rendered, launch, shape, name)
    return {"services": services, "volumes": {f"data-{node}": {} for node in services}}


def _service(rendered: Path, launch: Mapping[str, Any], shape: Shape, name: str) -> dict[str, Any]:
    is_broker = rendered.name.startswith("broker")
    properties = rendered / ("server.properties" if is_broker else "zookeeper.properties")
    text = properties.read_text(encoding="utf-8").replace("/var/lib/provision/data", _DATA)
    text = without_our_settings(text).replace(f"{name}-", "")  # containers are reached by the names of their services
    properties.write_text(text, encoding="utf-8")
    rendered.chmod(0o755)
    heap = [word for word in launch["arguments"] if word.startswith(("-Xms", "-Xmx"))]
    at = launch["arguments"].index("-cp")
    main = launch["arguments"][at + 2]
    log = f"-Dlog4j.configuration=file:{_CONFIG}/log4j.properties"
    port = "9092" if is_broker else "2181"
    published = 19092 if is_broker else 2181
    service: dict[str, Any] = {
        "image": shape.image,
        "command": ["java", *heap, *OF_SCRIPTS, log, "-cp", _JARS, main, f"{_CONFIG}/{properties.name}"],
        "ports": [f"127.0.0.1:{launch['host_port']}:{published}"],
        "volumes": [f"{rendered}:{_CONFIG}:ro", f"data-{rendered.name}:{_DATA}"],
        "healthcheck": {
            "test": ["CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"],
            "interval": "1s",
            "retries": 120,
        },
    }
    if is_broker:
        service["depends_on"] = {"zookeeper-1": {"condition": "service_healthy"}}
    return service
