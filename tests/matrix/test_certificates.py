"""A change to another authority under way: clients with old and with new certificates get in, on real brokers."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from kafka import KafkaProducer

from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering
from provision.kafka.metadata import observe_cluster
from provision.security.certificates import Pair, Subject, issue
from tests.authorities import Made, made
from tests.engine import DEFAULT_VERSION, Provision, java, write_environment

pytestmark = [pytest.mark.process, pytest.mark.row("apart"), pytest.mark.usefixtures("swept")]

NAME = "rotated"
ANSWER_S, PATIENCE_S = 20.0, 60.0
BROKERS = 2
REFUSED = "TLS fails|reset|broken pipe|closed"
"""A client sees a broker's refusal only after its own handshake: by an alert, or by the end of the connection."""
MODES = [
    pytest.param({"mode": "zookeeper"}, id="zookeeper", marks=pytest.mark.matrix),
    pytest.param({"mode": "kraft"}, id="kraft", marks=pytest.mark.soak),
]


class Client:
    """A user's files, as they were when they were copied."""

    def __init__(self, provision: Provision, directory: Path, ca: Path | None = None) -> None:
        provision.ok("certs", "export", NAME, "--to", str(directory), "--user", "app")
        said = json.loads(provision.ok("client-config", NAME, "--user", "app", "--format", "kafka-python"))
        own = str(directory / "user-app.pem")
        self.options: dict[str, Any] = said | {
            "ssl_cafile": str(ca or directory / "ca.pem"),
            "ssl_certfile": own,
            "ssl_keyfile": own,
        }

    @property
    def certificates(self) -> bytes:
        """What it shows, which is no secret."""
        content = Path(self.options["ssl_certfile"]).read_bytes()
        return content[content.index(b"-----BEGIN CERTIFICATE") :]

    def shows(self, content: bytes) -> None:
        """Let it show another key and certificate."""
        Path(self.options["ssl_certfile"]).write_bytes(content)

    def require_let_in(self) -> None:
        """Every broker answers, and one takes a record."""
        addresses = dict(enumerate(self.options["bootstrap_servers"], start=1))
        assert len(addresses) == BROKERS
        access = Access(addresses, "SSL", None, self.options["ssl_cafile"], self.options["ssl_certfile"])
        for broker in addresses:
            assert observe_cluster(access, broker, ANSWER_S).brokers

    def producer(self) -> KafkaProducer:
        """One that waits for all replicas."""
        return KafkaProducer(**self.options, acks="all", max_block_ms=int(PATIENCE_S * 1000))


def issued_by(authority: Made, name: str) -> bytes:
    """The key of somebody of that name, and the certificates that lead to the root."""
    pair = issue(Pair(authority.pem(), authority.certificates), Subject(name))
    return pair.key + pair.certificate + authority.certificates


@pytest.mark.parametrize("kafka", MODES)
def test_no_client_breaks_until_the_rotation_is_finished(tmp_path: Path, kafka: dict[str, str]) -> None:
    java(DEFAULT_VERSION)
    provision = Provision(tmp_path / "home", runtime="process")
    described = {
        "kafka": kafka,
        "controllers": {"nodes": 1} if kafka["mode"] == "kraft" else {},
        "brokers": {"nodes": BROKERS, "port": "auto"},
        "security": "mtls",
        "users": [{"name": "app"}],
        "topics": [{"name": "t", "partitions": 2, "replication_factor": 2}],
    }
    file = write_environment(tmp_path, NAME, json.dumps(described))
    provision.ok("up", file)
    try:
        old = Client(provision, tmp_path / "old")
        staying = old.producer()
        acknowledged = staying.send("t", b"before").get(timeout=PATIENCE_S)
        told = provision.ok_err("certs", "rotate", file, "--yes", "--timeout", "240s")
        assert "broker-1 restarted" in told
        assert "both authorities are trusted" in told
        new = Client(provision, tmp_path / "new")
        for client in (old, new):
            client.require_let_in()
        assert staying.send("t", b"meanwhile", partition=acknowledged.partition).get(timeout=PATIENCE_S)
        shown = json.loads(provision.ok("certs", "show", NAME, "-o", "json"))
        assert [one["kind"] for one in shown[:2]] == ["authority", "old authority"]
        assert provision("certs", "rotate", file, "--yes").code == 64
        provision.ok("certs", "rotate", file, "--finish", "--yes", "--timeout", "240s")
        new.require_let_in()
        with pytest.raises(NotAnswering, match="TLS fails"):
            old.require_let_in()
        staying.close()
        assert "nothing to change" in provision.ok_err("plan", file) + provision.ok("plan", file)
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []


@pytest.mark.soak
def test_an_authority_of_ones_own_is_followed_by_another_and_no_client_breaks(tmp_path: Path) -> None:
    java(DEFAULT_VERSION)
    provision = Provision(tmp_path / "home", runtime="process")
    above = made("root", key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    house, foreign = made("lower", issuer=above), made("foreign", issuer=above)
    described: dict[str, Any] = {
        "kafka": {"mode": "kraft"},
        "controllers": {"nodes": 1},
        "brokers": {"nodes": BROKERS, "port": "auto"},
        "security": "mtls",
        "certificates": house.write(tmp_path),
        "users": [{"name": "app"}],
        "topics": [{"name": "t", "partitions": 2, "replication_factor": 2}],
    }
    file = write_environment(tmp_path, NAME, json.dumps(described))
    provision.ok("up", file)
    try:
        old = Client(provision, tmp_path / "old")
        root = tmp_path / "root.pem"
        root.write_bytes(house.chain[-1].public_bytes(Encoding.PEM))
        Client(provision, tmp_path / "root", ca=root).require_let_in()
        intruder = Client(provision, tmp_path / "foreign", ca=root)
        intruder.shows(issued_by(foreign, "app"))
        with pytest.raises(NotAnswering, match=REFUSED):
            intruder.require_let_in()
        staying = old.producer()
        acknowledged = staying.send("t", b"before").get(timeout=PATIENCE_S)
        made("other", key=rsa.generate_private_key(public_exponent=65537, key_size=2048)).write(tmp_path)
        assert "broker-2 restarted" in provision.ok_err("up", file, "--yes", "--timeout", "240s")
        new = Client(provision, tmp_path / "new")
        for client in (old, new):
            client.require_let_in()
        intruder.shows(issued_by(foreign, "app") + new.certificates)
        with pytest.raises(NotAnswering, match=REFUSED):
            intruder.require_let_in()
        assert staying.send("t", b"meanwhile", partition=acknowledged.partition).get(timeout=PATIENCE_S)
        staying.close()
        provision.ok("certs", "rotate", file, "--finish", "--yes", "--timeout", "240s")
        new.require_let_in()
        with pytest.raises(NotAnswering, match="TLS fails"):
            old.require_let_in()
        read = provision.ok("consume", NAME, "t", "--from-beginning", "-n", "2", "--timeout", "30s")
        assert sorted(read.split()) == ["before", "meanwhile"]
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []


@pytest.mark.matrix
def test_a_java_client_gets_in_by_its_stores(tmp_path: Path) -> None:
    java(DEFAULT_VERSION)
    provision = Provision(tmp_path / "home", runtime="process")
    described: dict[str, Any] = {
        "listeners": {"mutual": {"security": "mtls"}, "secure": {"security": "sasl-tls"}},
        "users": [{"name": "app"}],
        "topics": [{"name": "t"}],
    }
    provision.ok("up", write_environment(tmp_path, NAME, json.dumps(described)))
    try:
        for listener in described["listeners"]:
            file = tmp_path / listener / "app.properties"
            own = ["--user", "app", "--listener", listener]
            provision.ok("client-config", NAME, *own, "--store", "pkcs12", "--out", str(file))
            assert "PEM" not in file.read_text()
            tool = ["tool", NAME, "--listener", listener]
            listed = provision.ok(*tool, "kafka-topics", "--", "--list", "--command-config", str(file))
            assert "t" in listed.split()
            producer = ("kafka-console-producer", "--", "--topic", "t", "--producer.config", str(file))
            provision.ok(*tool, *producer, stdin=f"{listener}\n")
            _require_read_by_keytool(file.parent)
        assert not (tmp_path / "secure" / "app.keystore.p12").exists()
        read = provision.ok("consume", NAME, "t", "--from-beginning", "-n", "2", "--timeout", "30s")
        assert sorted(read.split()) == ["mutual", "secure"]
    finally:
        provision.ok("down", NAME)
    assert provision.traces(NAME) == []


def _require_read_by_keytool(directory: Path) -> None:
    """Java's own tool, which only a JDK has, finds a trusted certificate in each truststore, and a key in the other."""
    stores, keytool = sorted(directory.glob("*.p12")), shutil.which("keytool")
    assert stores
    for store in stores if keytool else ():
        command = [str(keytool), "-list", "-keystore", str(store), "-storepass:file", f"{store}.password"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout
        assert ("trustedCertEntry" in shown) is (store.name == "app.truststore.p12"), shown
        assert ("PrivateKeyEntry" in shown) is (store.name == "app.keystore.p12"), shown
