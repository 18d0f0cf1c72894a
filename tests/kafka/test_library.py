"""The client library is loaded in two steps, and neither warns of anything."""

import subprocess
import sys

import pytest

PROTOCOL = "import provision.kafka.library"
CLIENTS = f"{PROTOCOL}, kafka; kafka.KafkaAdminClient, kafka.KafkaConsumer, kafka.KafkaProducer"
THREADS = (
    "from concurrent.futures import ThreadPoolExecutor as P; from importlib import import_module as load\n"
    "names = [f'provision.kafka.{n}' for n in ('admin', 'reading', 'readiness', 'writing')]\n"
    "list(P(4).map(load, names)); import kafka; kafka.KafkaConsumer"
)


@pytest.mark.parametrize("program", [PROTOCOL, CLIENTS, THREADS], ids=["protocol", "clients", "threads"])
def test_it_is_loaded_without_a_warning_and_no_filter_is_set_for_that(program: str) -> None:
    checked = f"import warnings; before = list(warnings.filters)\n{program}\nassert warnings.filters == before"
    done = subprocess.run([sys.executable, "-W", "error", "-c", checked], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_that_the_environment_is_not_encrypted_is_not_told_at_each_connection(
    mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    import provision.kafka.library  # noqa: F401 the library first
    from kafka.net.sasl import get_sasl_mechanism

    get_sasl_mechanism(mechanism)(
        host="localhost",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism=mechanism,
        sasl_plain_username="app",
        sasl_plain_password="word",  # noqa: S106 nobody's
    )
    assert caplog.records == []
