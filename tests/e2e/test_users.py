"""A cluster with users: one gets in and may do what the file says, over TLS and with a password; nobody else does.

More of it, with every profile, version and runtime, is in `tests/matrix/test_closed_clusters.py` and `test_acls.py`.
"""

import json
import re
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.errors import TopicAuthorizationFailedError

from provision.errors import KafkaRefused
from provision.kafka.access import Access, Credentials
from provision.kafka.metadata import observe_cluster
from tests.engine import DEFAULT_VERSION, Provision, java, write_environment

pytestmark = [pytest.mark.process, pytest.mark.row("apart"), pytest.mark.usefixtures("swept")]

NAME = "with-users"
ANSWER_S = 20.0
FILE = """
security: sasl-tls
kafka: {mode: kraft}
brokers: {nodes: 1, port: auto}
topics: [{name: orders}, {name: payments}]
users: [{name: app, allow: [write topic orders]}]
"""


@pytest.fixture(scope="module")
def provision(tmp_path_factory: pytest.TempPathFactory) -> Provision:
    """Processes, which start sooner."""
    java(DEFAULT_VERSION)
    return Provision(tmp_path_factory.mktemp("home"), runtime="process")


def test_a_user_gets_in_and_may_do_what_the_file_says(provision: Provision, tmp_path: Path) -> None:
    provision.ok("up", write_environment(tmp_path, NAME, FILE))
    try:
        options = json.loads(provision.ok("client-config", NAME, "--user", "app", "--format", "kafka-python"))
        producer = KafkaProducer(**options, enable_idempotence=False)
        producer.send("orders", b"one").get(timeout=ANSWER_S)
        with pytest.raises(TopicAuthorizationFailedError):
            producer.send("payments", b"one").get(timeout=ANSWER_S)
        producer.close()
        provision.ok("produce", NAME, "orders", "--user", "app", stdin="by hand\n")
        assert [one["name"] for one in json.loads(provision.ok("topics", "list", NAME, "-u", "app", "-o", "json"))] == [
            "orders"
        ]
        refused = provision("topics", "delete", NAME, "orders", "--user", "app")
        assert refused.code == 1
        assert "topic orders cannot be deleted\n  Topic authorization failed." in refused.err
        wrong = Credentials("PLAIN", "app", "wrong")
        with pytest.raises(KafkaRefused, match="does not let app in"):
            observe_cluster(
                Access({1: options["bootstrap_servers"][0]}, "SASL_SSL", wrong, options["ssl_cafile"]), 1, ANSWER_S
            )
        _require_come_and_gone_without_a_restart(provision, tmp_path)
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []
    assert list((provision.home / "secrets").iterdir()) == []


def _require_come_and_gone_without_a_restart(provision: Provision, directory: Path) -> None:
    """Users with SCRAM are kept by the cluster; no node is touched for one."""
    one_more = FILE.replace(
        "users: [", "users: [{name: new, mechanism: SCRAM-SHA-512, allow: [write topic payments]}, "
    )
    file = write_environment(directory, NAME, one_more)
    told = provision.ok_err("up", file)
    assert "user new created" in told
    assert not re.search("broker-1 (restarted|replaced|started|stopped)", told)
    provision.ok("produce", NAME, "payments", "--user", "new", stdin="by hand\n")
    file = write_environment(directory, NAME, f"{FILE}prune: true\n")
    told = provision.ok_err("up", file, "--yes")
    assert "user new deleted" in told
    assert not re.search("broker-1 (restarted|replaced|started|stopped)", told)
    assert "has no user new" in provision("produce", NAME, "payments", "--user", "new", stdin="by hand\n").err
