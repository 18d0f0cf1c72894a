"""What all tests share: the golden files, and no deadlines for single examples on a busy machine."""

import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.golden import Golden

settings.register_profile("provision", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("provision")


def pytest_configure() -> None:
    """Let the commands that tests start heed the signals that tests send them.

    Who runs the tests in the background, or with `nohup`, has them ignore Ctrl-C or the end of the terminal, and a
    process inherits that. One that is handled is heeded by whoever is started: so the tests handle it and do nothing.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write the golden files anew instead of comparing with them")


# Environments of these have names and ports that no other file uses.
APART = (
    "tests/contract/",
    "tests/e2e/test_containers.py",
    "tests/e2e/test_life.py",
    "tests/e2e/test_processes.py",
    "tests/runtime/",
)


# The time of `make test` and of CI is bounded. Of what behaves alike on both runtimes, or is shown by a cheaper test
# too, these are part of `make test-matrix`,
IN_MATRIX = (
    "test_examples.py::test_an_example_comes_up_stays_as_it_is_and_goes_without_a_trace[process-ensemble]",
    "test_examples.py::test_an_example_comes_up_stays_as_it_is_and_goes_without_a_trace[docker-kraft]",
    "test_containers.py::test_every_codec_works_in_broker_and_tool",
    "test_containers.py::test_up_mends_an_environment_whose_network_was_pruned",
    "test_failures.py::test_an_update_that_is_interrupted_leaves_the_cluster_serving[docker]",
    "test_image_layouts.py::test_it_runs_and_carries_records[confluent with zookeeper's own]",
    "test_images.py::test_a_running_tool_does_not_speak_for_its_environment",
    "test_images.py::test_from_a_base_to_a_cluster_and_through_a_file_to_another_machine",
    "test_howto.py::test_console_producer_and_consumer_exchange_lines[process]",
    "test_howto.py::test_kafka_topics_lists_and_describes_what_the_file_declares[process]",
    "test_howto.py::test_produce_and_consume_carry_lines_and_keys[process]",
    "test_howto.py::test_the_address_is_filled_in_where_none_is_given[process]",
    "test_howto.py::test_the_exit_code_of_a_tool_is_that_of_the_command[process]",
    "test_howto.py::test_the_howto_with_its_zookeeper_flag_on_kafka_2_8[process]",
    "test_life.py::test_a_directory_keeps_its_data_until_it_is_told_otherwise[docker]",
    "test_life.py::test_two_environments_with_automatic_ports_run_side_by_side[docker]",
    "test_life.py::test_up_and_down_again_and_again_leave_nothing[process]",
    "test_lock.py::test_what_is_locked_comes_up_and_a_second_lock_changes_nothing[process]",
    "test_survival.py::test_killing_any_broker_loses_nothing_and_up_brings_it_back[docker]",
    "test_survival.py::test_stop_and_start_keep_every_record[process]",
)
# and these of `make test-soak`.
IN_SOAK = (
    "test_examples.py::test_an_example_comes_up_stays_as_it_is_and_goes_without_a_trace[docker-ci]",
    "test_examples.py::test_an_example_comes_up_stays_as_it_is_and_goes_without_a_trace[docker-ensemble]",
    "test_examples.py::test_an_example_comes_up_stays_as_it_is_and_goes_without_a_trace[process-kraft]",
    "test_examples.py::test_an_example_comes_up_stays_as_it_is_and_goes_without_a_trace[process-three-brokers]",
    "test_failures.py::test_an_interrupt_at_any_moment_rolls_back[process-created-2]",
    "test_failures.py::test_an_interrupt_at_any_moment_rolls_back[process-network-2]",
    "test_failures.py::test_an_interrupt_at_any_moment_rolls_back[process-process-2]",
    "test_failures.py::test_an_interrupt_at_any_moment_rolls_back[process-quorum-1]",
    "test_failures.py::test_an_update_that_is_interrupted_leaves_the_cluster_serving[process]",
    "test_failures.py::test_up_goes_on_where_a_killed_up_stopped[process]",
    "test_survival.py::test_killing_any_broker_loses_nothing_and_up_brings_it_back[process]",
    "test_survival.py::test_restarting_one_broker_keeps_every_record[process]",
)


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests apart that would meet, and let the others run side by side.

    On each runtime three groups of tests run, each in a row; the matrix has a name of its own for each environment.
    There is one port 9092 for both runtimes: the engine has it first, processes have it last.
    """
    for item in items:
        if item.nodeid.endswith(IN_SOAK) or ("e2e/test_converge.py" in item.nodeid and "[process]" in item.nodeid):
            item.add_marker(pytest.mark.soak)  # the runtimes differ little here: `make test-matrix` shows it on one
        # The tests of test_converge build on one another, so that all of them go.
        if item.nodeid.endswith(IN_MATRIX) or ("e2e/test_converge.py" in item.nodeid and "[docker]" in item.nodeid):
            item.add_marker(pytest.mark.matrix)
        runtime = _runtime(item)
        if runtime and "tests/matrix/" not in item.nodeid:
            item.add_marker(pytest.mark.xdist_group(f"{runtime}{_apart(item.nodeid)}"))
    items.sort(key=lambda item: "fixed_ports" in getattr(item, "fixturenames", ()) and _TURN[_runtime(item)])


_TURN = {"engine": -1, "": 0, "process": 1}


def _apart(test: str) -> str:
    if test.startswith("tests/soak/"):
        return "-soak"
    return "-apart" if test.startswith(APART) else ""


def _runtime(item: pytest.Item) -> str:
    if item.get_closest_marker("engine"):
        return "engine"
    return "process" if "process" in item.nodeid else ""


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares with golden files."""
    return Golden(rewrite=bool(request.config.getoption("--golden")))
