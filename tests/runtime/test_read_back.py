"""Files that are read back, whatever has become of them: one error of ours at most, and nothing touched elsewhere."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision import Environment
from provision.errors import ProvisionError
from provision.runtime import directories
from provision.runtime.process import runtime as process_runtime
from provision.runtime.process.java import Java
from tests.mutations import REPLACED, mangled, mutated

NAME = "read-back"
ID, ANOTHER_ID = "fwAAAAAAAAAAAAAAAAAAAA", "fwAAAAAAAAAAAAAAAAAAAQ"
MODES = ("zookeeper", "kraft")
EXAMPLES = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@dataclass(frozen=True)
class Made:
    """An environment that was created, formatted and stopped: all its files and no process."""

    root: Path
    mode: str
    values: dict[str, Any]

    @property
    def environment(self) -> Environment:
        """As a command would open it."""
        return Environment(home=self.root / "home", **self.values)

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.root / "home" / "environments" / NAME

    def put(self, file: str, content: bytes) -> None:
        """Change a file."""
        (self.root / "home" / file).write_bytes(content)

    def again(self) -> None:
        """Make it as it was."""
        home = self.root / "home"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.root / "pristine", home)

    def elsewhere(self) -> dict[str, bytes]:
        """All files that are not of this environment."""
        home = self.root / "home"
        others = (file for file in self.root.rglob("*") if not file.is_relative_to(home) and file.is_file())
        return {str(file): file.read_bytes() for file in others}


FILES = {
    "zookeeper": ("environment.json", "broker-1/node.json", "broker-1/process.json", "broker-1/config/launch.json"),
    "kraft": ("environment.json", "broker-1/node.json", "broker-1/process.json", "broker-1/config/launch.json"),
}
PROPERTIES = {
    "zookeeper": ("broker-1/config/server.properties", "zookeeper-1/config/zookeeper.properties"),
    "kraft": ("broker-1/config/server.properties", "broker-1/data/meta.properties"),
}


@pytest.fixture(scope="module", params=MODES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    root = tmp_path_factory.mktemp("read-back")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_runtime, "find_java", lambda _version: Java("/nowhere/java", 17, "a test"))
        patch.setattr(psutil, "process_iter", lambda *_: iter(()))  # nothing of it ever runs
        patch.setenv("PROVISION_CACHE", str(root / "cache"))
        made = Made(root, request.param, {"name": NAME, "runtime": "process", "kafka": {"mode": request.param}})
        _create(made)
        shutil.copytree(root / "home", root / "pristine")
        canary = directories.create(root / "outside", "broker-1", NAME)
        (canary / "kept").write_text("kept")
        yield made


def _create(made: Made) -> None:
    prepared = made.environment.plan()
    runtime, cluster = prepared.runtime, prepared.cluster
    runtime.create_network(cluster)
    for node in cluster.nodes:
        runtime.create_storage(cluster, node)
        runtime.create_node(cluster, node, [file for file in prepared.files if file.node == node.name], "0123")
        (made.directory / node.name / "process.json").write_text(json.dumps({"pid": 2**22 + 1, "created": 1.5}))
        if made.mode == "kraft":
            meta = f"node.id={node.id}\nversion=1\ncluster.id={cluster.cluster_id}\n"
            (Path(node.data_dir) / "meta.properties").write_text(meta)
    made.environment.home.ports.lease(NAME, ["broker-1"], {})


def _use(made: Made) -> None:
    """What commands do with it: each works, or tells what is wrong by an error of ours. At last it is removed."""
    before = made.elsewhere()
    environment = made.environment
    environment.observe()
    assert environment.runtime.environments() == (NAME,)
    environment.status()
    for attempt in (
        environment.plan,
        lambda: environment.inside_address("broker-1"),
        lambda: list(environment.log_lines("broker-1")),
        lambda: environment.runtime.start_node(NAME, "broker-1"),
        environment.stop,
    ):
        with suppress(ProvisionError):
            attempt()
    with suppress(ProvisionError):
        environment.down()
    made.environment.down() if made.directory.exists() else None
    assert not made.directory.exists()
    assert made.elsewhere() == before


@EXAMPLES
@given(data=st.data())
def test_whatever_a_note_says_it_misleads_no_command(made: Made, data: st.DataObject) -> None:
    made.again()
    file = data.draw(st.sampled_from(FILES[made.mode]))
    content = data.draw(mutated((made.directory / file).read_bytes()))
    (made.directory / file).write_bytes(content)
    _use(made)


@EXAMPLES
@given(data=st.data())
def test_whatever_a_configuration_has_become_no_command_fails_because_of_it(made: Made, data: st.DataObject) -> None:
    made.again()
    file = made.directory / data.draw(st.sampled_from(PROPERTIES[made.mode]))
    file.write_bytes(data.draw(mangled(file.read_bytes())))
    _use(made)


@pytest.mark.parametrize("what", REPLACED)
@pytest.mark.parametrize("index", range(len(FILES["kraft"]) + len(PROPERTIES["kraft"])))
def test_whatever_stands_in_a_files_place_the_environment_is_seen_and_removed(
    made: Made, index: int, what: str
) -> None:
    made.again()
    file = (*FILES[made.mode], *PROPERTIES[made.mode])[index]
    REPLACED[what](made.directory / file)
    _use(made)
