"""How promptly nodes answer: each is asked something that costs it nothing, on its own, for a bounded time."""

from msgspec import Struct

from provision.common.clocks import running_s
from provision.kafka.access import Access
from provision.kafka.connection import NotAnswering, NotServing, ask
from provision.kafka.zookeeper import SERVER_STATUS, Keys, connected


class Reply(Struct, frozen=True):
    """Seconds until the answer, None if none came in time; `served` is whether the connection was at least served."""

    seconds: float | None
    served: bool = True


UNSERVED = Reply(None, served=False)


def ask_broker(access: Access, broker: int, timeout_s: float) -> Reply:
    """How soon a broker answers which requests it knows (ApiVersions). The library must be loaded already."""
    import kafka  # noqa: F401 the package first
    from kafka.protocol.metadata import ApiVersionsRequest

    began = running_s()
    try:
        ask(access, broker, ApiVersionsRequest(version=0), timeout_s)
    except NotServing:
        return UNSERVED
    except NotAnswering:
        return Reply(None)
    return Reply(running_s() - began)


def ask_zookeeper(address: str, keys: Keys | None, timeout_s: float) -> Reply:
    """How soon a ZooKeeper node at `host:port` says how it is (`srvr`), whether it is part of a quorum or not."""
    began = running_s()
    try:
        with connected(address, keys, timeout_s) as connection:
            connection.settimeout(max(timeout_s - (running_s() - began), 0.001))
            connection.sendall(SERVER_STATUS.encode())
            return Reply(running_s() - began) if connection.recv(1) else UNSERVED
    except TimeoutError:
        return Reply(None)
    except OSError:
        return ask_zookeeper(address, None, timeout_s) if keys else UNSERVED  # as in `server_status`
