"""ZooKeeper's own ports, closed to all but its nodes, the brokers and this program. Pure.

Who gets in shows a certificate of an authority that issues to nobody else: with `mtls`, users have certificates of the
environment's, and get nothing out of ZooKeeper with them. All who get in are the same to ZooKeeper, so that ACLs of
znodes would keep nobody out, and would outlast a change back to plaintext, where no broker could write them any more.

Sources: ZooKeeper Administrator's Guide ("Encryption, Authentication, Authorization Options"); KIP-515. ZooKeeper reads
PEM from 3.5.5 on; unlike PKCS #12, it needs no password.
"""

from collections.abc import Iterator

from provision.security.listening import Security

PREFIX = "ensemble-"
"""What the names of the files begin with that are kept for it; no node or user is called like that."""
KEYSTORE, TRUSTSTORE = "ensemble.pem", "ensemble-ca.pem"
"""The files of a node or a tool: its key with its certificate, and the authorities that it trusts."""
STATUS_WORD = "srvr"
"""The only four-letter word that is answered: the one by which this program asks."""
FIRST_LINE = (3, 5)
"""The first release line of ZooKeeper that can be closed."""
CLIENT_PORT, QUORUM_PORT = "client.portUnification", "portUnification"
"""The keys by which the ports for clients, and those between nodes, take connections without TLS as well."""
X509 = {"authProvider.x509": "org.apache.zookeeper.server.auth.X509AuthenticationProvider"}
"""What ZooKeeper sets by itself only where it has a port for TLS alone: without it, it refuses whoever uses TLS."""
QUORUM_TLS = "sslQuorum"
"""The key by which nodes use TLS between them."""
TLS_OF_BROKERS = "zookeeper.ssl.client.enable"
"""The key by which brokers use it."""
ON = "true"
DECIDED_OF_MEMBERS = (
    "serverCnxnFactory",
    CLIENT_PORT,
    QUORUM_PORT,
    QUORUM_TLS,
    *(
        f"ssl.{quorum}{key}"
        for quorum in ("", "quorum.")
        for key in ("keyStore.", "trustStore.", "clientAuth", "hostnameVerification")
    ),
    "ssl.authProvider",
    "authProvider.",
)
"""The keys of ZooKeeper that are decided with `security`; a name that ends with a dot is a prefix."""
DECIDED_OF_BROKERS = (
    "zookeeper.clientCnxnSocket",
    TLS_OF_BROKERS,
    "zookeeper.ssl.keystore.",
    "zookeeper.ssl.truststore.",
)
"""The same of brokers."""
_NETTY = "org.apache.zookeeper.ClientCnxnSocketNetty"
_PEM = "PEM"


def closes(security: Security) -> bool:
    """Whether ZooKeeper is closed in an environment that is secured like that: with any listener that is."""
    return security.is_secured


def of_member(config_dir: str, *, has_peers: bool) -> dict[str, str]:
    """The properties of one of its nodes, which has its files in that directory."""
    found = {
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        **dict(_stores("ssl.", config_dir)),
        "ssl.clientAuth": "need",
    }
    if has_peers:
        found |= {
            QUORUM_TLS: ON,
            **dict(_stores("ssl.quorum.", config_dir)),
            "ssl.quorum.clientAuth": "need",
            # The side that is connected to would look up the other's address backwards, and in a container's network
            # that gives a name of the engine's own. The authority issues to no stranger.
            "ssl.quorum.hostnameVerification": "false",
        }
    return found


def of_broker(config_dir: str) -> dict[str, str]:
    """The properties of a broker."""
    return {
        TLS_OF_BROKERS: ON,
        "zookeeper.clientCnxnSocket": _NETTY,
        "zookeeper.ssl.keystore.location": f"{config_dir}/{KEYSTORE}",
        "zookeeper.ssl.keystore.type": _PEM,
        "zookeeper.ssl.truststore.location": f"{config_dir}/{TRUSTSTORE}",
        "zookeeper.ssl.truststore.type": _PEM,
    }


def of_tool(directory: str) -> tuple[str, ...]:
    """The options of a JVM by which any client of ZooKeeper in it gets in."""
    values = {"client.secure": "true", "clientCnxnSocket": _NETTY, **dict(_stores("ssl.", directory))}
    return tuple(f"-Dzookeeper.{key}={value}" for key, value in values.items())


def _stores(prefix: str, directory: str) -> Iterator[tuple[str, str]]:
    for kind, file in (("keyStore", KEYSTORE), ("trustStore", TRUSTSTORE)):
        yield f"{prefix}{kind}.location", f"{directory}/{file}"
        yield f"{prefix}{kind}.type", _PEM
