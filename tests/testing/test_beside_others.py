"""What other plugins do to the process that a test runs in."""

import pytest

from tests.testing.test_plugin import Project, counts, project  # noqa: F401 the fixture

PYTEST_SOCKET = """
import socket, warnings

class SocketBlockedError(RuntimeError):
    def __init__(self):
        warnings.warn("A test tried to use socket.socket.")
        super().__init__("A test tried to use socket.socket.")

class Guarded(socket.socket):
    def __new__(cls, *_, **__):
        raise SocketBlockedError

def pytest_runtest_setup(item):
    socket.socket = Guarded

def pytest_runtest_teardown(item):
    socket.socket = Guarded.__base__
"""
TESTS = "def test_one(kafka):\n    pass\n\ndef test_another(kafka):\n    pass\n"


@pytest.mark.parametrize("how", ["ignore", "error"])
@pytest.mark.parametrize("runtime", ["process", "auto"])
def test_where_tests_may_not_open_connections_that_is_told_once(project: Project, how: str, runtime: str) -> None:  # noqa: F811
    project.write(
        pytest_socket__py=PYTEST_SOCKET,
        test_it__py=TESTS,
        kafka__yaml=f"name: one\nruntime: {runtime}\nkafka: {{version: 3.9.1}}\nbrokers: {{port: auto}}\n",
    )
    code, out = project.run("-p", "pytest_socket", "-W", f"{how}:A test tried")
    assert (code, counts(out)) == (1, {"error": 1})
    assert "pytest-socket blocks them: A test tried to use socket.socket.\nhint: `--allow-hosts=127.0.0.1" in out
    assert "no Kafka environment: tests may not open connections" in out
    assert "Traceback" not in out
