"""What only plain processes have to show: no engine, no network, a reboot, two homes, a killed command."""

import json
from pathlib import Path

import pytest

from tests.engine import DEFAULT_VERSION, NO_ENGINE, SMALL, Provision, java, wait_for_line, write_environment

pytestmark = [pytest.mark.process, pytest.mark.row("apart")]

NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": ""}


@pytest.fixture(scope="module")
def provision(tmp_path_factory: pytest.TempPathFactory) -> Provision:
    """Processes, whether an engine is there or not."""
    java(DEFAULT_VERSION)
    return Provision(tmp_path_factory.mktemp("home"), runtime="process")


def test_without_an_engine_auto_takes_processes_says_so_and_stays_with_them(
    provision: Provision, tmp_path: Path
) -> None:
    env = write_environment(tmp_path, "auto-chosen", SMALL)
    lonely = Provision(provision.home, "auto", environment=NO_ENGINE, started=provision.started, own_image=False)
    first = lonely("up", env)
    assert first.code == 0, first.err
    assert "auto-chosen runs as plain processes: no Docker engine answers" in first.err
    anywhere = Provision(provision.home, "auto", own_image=False)
    second = anywhere("up", env)
    assert "nothing to change" in second.err
    assert json.loads(anywhere.ok("status", env, "-o", "json"))["runtime"] == "process"
    assert "auto-chosen" in anywhere.ok("list")
    anywhere.ok("down", env)


@pytest.mark.matrix
def test_after_a_reboot_start_brings_the_data_back(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "rebooted", SMALL)
    provision.ok("up", env)
    provision.ok("produce", env, "t", stdin="before the reboot\n")
    provision.kill("rebooted", "broker-1")
    provision.kill("rebooted", "zookeeper-1")
    shown = json.loads(provision.ok("status", env, "-o", "json"))
    assert {node["state"] for node in shown["nodes"]} == {"exited"}
    assert shown["level"] == "none"
    provision.ok("start", env)
    assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1") == "before the reboot\n"
    provision.ok("down", env)


def test_two_homes_do_not_see_each_other(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "twice", SMALL)
    neighbour = Provision(tmp_path / "other-home", runtime="process")
    provision.ok("up", env)
    unseen = neighbour("status", env)
    assert unseen.code == 64
    assert "there is no environment twice" in unseen.err
    fixed = json.loads(provision.ok("status", env, "-o", "json"))["bootstrap_servers"].rpartition(":")[2]
    clash = neighbour("up", env, "--set", f"brokers.port={fixed}")
    assert clash.code == 1
    assert f"port {fixed} on 127.0.0.1 is taken" in clash.err
    assert neighbour.traces("twice") == []
    neighbour.ok("up", env)
    provision.ok("down", env)
    assert json.loads(neighbour.ok("status", env, "-o", "json"))["ready"]
    neighbour.ok("down", env)
    assert neighbour.traces("twice") == []


@pytest.mark.parametrize("moment", ["storage broker-1 created", "broker-1 created", "quorum after"])
def test_a_killed_up_is_told_as_it_is_and_finished_by_the_next(
    provision: Provision, tmp_path: Path, moment: str
) -> None:
    env = write_environment(tmp_path, "cut-off", SMALL)
    process = provision.start("up", env)
    wait_for_line(process, moment)
    process.kill()
    process.communicate(timeout=60)
    states = {node["state"] for node in json.loads(provision.ok("status", env, "-o", "json"))["nodes"]}
    assert states <= {"created", "running", "gone"}
    assert states or moment.startswith("storage")
    assert json.loads(provision.ok("up", env, "-o", "json"))["ready"]
    provision.ok("down", env)
    assert provision.traces("cut-off") == []


def test_a_killed_up_can_be_taken_down_at_once(provision: Provision, tmp_path: Path) -> None:
    env = write_environment(tmp_path, "cut-short", SMALL)
    process = provision.start("up", env)
    wait_for_line(process, "broker-1 started")
    process.kill()
    process.communicate(timeout=60)
    provision.ok("down", env)
    assert provision.traces("cut-short") == []


def test_an_unpacked_kafka_is_used_where_the_file_names_one(provision: Provision, tmp_path: Path) -> None:
    cached = Path(provision.ok_err("fetch", DEFAULT_VERSION).rpartition(" in ")[2].strip())
    libs = tmp_path / "kafka" / "libs"
    libs.mkdir(parents=True)
    for jar in cached.glob("*.jar"):
        (libs / jar.name).symlink_to(jar)
    env = write_environment(tmp_path, "unpacked", SMALL + "kafka: {distribution: ./kafka}\n")
    nothing = {"PROVISION_CACHE": str(tmp_path / "cache")}
    own = Provision(provision.home, "process", environment=nothing, started=provision.started)
    assert json.loads(own.ok("up", env, "-o", "json"))["ready"]
    assert own.ok("tool", env, "kafka-topics", "--", "--list").split() == ["t"]
    own.ok("down", env)
    assert not (tmp_path / "cache").exists()
    result = own("up", env, "--set", "kafka.distribution=./elsewhere")
    assert result.code == 65
    assert f"kafka.distribution: there is no directory {tmp_path / 'elsewhere'}" in result.err
    assert provision.traces("unpacked") == []


def test_cached_jars_need_no_network_and_without_them_the_message_is_clear(
    provision: Provision, tmp_path: Path
) -> None:
    env = write_environment(tmp_path, "offline", SMALL)
    provision.ok("fetch", DEFAULT_VERSION)
    cut_off = Provision(provision.home, "process", environment=NO_NETWORK, started=provision.started)
    cut_off.ok("up", env, "--until", "process")
    cut_off.ok("down", env)
    empty = {"PROVISION_CACHE": str(tmp_path / "cache"), "M2_REPO": str(tmp_path / "maven")}
    bare = Provision(provision.home, "process", environment=NO_NETWORK | empty, started=provision.started)
    result = bare("up", env)
    assert result.code == 69
    assert "the jars of Kafka 3.9.1 are not in the cache and cannot be fetched" in result.err
    assert provision.traces("offline") == []


@pytest.mark.matrix
@pytest.mark.parametrize("version", ["3.9.1", "4.3.0"])
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_in_directories_of_any_name_data_and_logs_are_where_they_belong(
    tmp_path: Path, version: str, locale: str
) -> None:
    """Java, Kafka, a logging library and a properties file give each of these characters a meaning."""
    odd = "a #%41%i;?&\"'$x$${y}\\t+=:!*~@[é☃"
    java(version)
    home, work = tmp_path / odd / "home", tmp_path / odd.replace("$", "")
    provision = Provision(home, runtime="process", version=version, environment={"LC_ALL": locale})
    work.mkdir(parents=True)
    env = write_environment(work, "odd-paths", "brokers: {port: auto}\nstorage: ./data\ntopics: [{name: t}]\n")
    provision.ok("up", env)
    try:
        provision.ok("produce", env, "t", stdin="a record\n")
        assert provision.ok("consume", env, "t", "--from-beginning", "-n", "1") == "a record\n"
        assert list((work / "data" / "broker-1" / "data").glob("t-0/*.log"))
        assert (home / "environments" / "odd-paths" / "broker-1" / "log" / "broker-1.log").stat().st_size
        servers = json.loads(provision.ok("status", env, "-o", "json"))["bootstrap_servers"]
        listed = provision.ok("tool", env, "kafka-topics", "--", "--bootstrap-server", servers, "--list")
        assert "t" in listed.split()
        assert {entry.name for entry in tmp_path.iterdir()} == {odd, work.name}
    finally:
        provision.ok("down", env, "--delete-data")
