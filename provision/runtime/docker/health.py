"""What an engine knows about itself, and about the containers of an environment."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from docker.errors import APIError, NotFound

from provision.cluster.layout import NODE_HOME
from provision.common.clocks import now_s
from provision.errors import Unavailable
from provision.runtime.base import NOT_ENDED
from provision.runtime.docker import ending, execution, found, networks
from provision.runtime.docker.containers import (
    ENVIRONMENT,
    NODE,
    ROLE,
    SOFTWARE,
    TOOL_ROLE,
    hardening,
    name_of,
    process_label,
)
from provision.runtime.docker.engine import chosen_engine
from provision.runtime.docker.images import inspect, volumes_of
from provision.runtime.docker.tools import MEMORY_BYTES
from provision.runtime.health import Machine, Probe, Reached, Space, Surroundings, Usage, Vitals, architecture_of

DEFAULT_NETWORK = "bridge"
"""The engine's own network. It is created again whenever the engine starts, so that it tells when that was."""
ASK_TIMEOUT_S = 30
_ANSWER_S = 3
_LOCAL = ("http+docker", "npipe")
_LOOKED_AT = (f"{NODE_HOME}/data", "/tmp", "/dev/shm")  # noqa: S108 what a node writes to
_KIB = 1024
_COLUMNS = 6  # of `df -P`: file system, blocks, used, available, capacity, mount point

# Prints lines `name value...`; the process 1 is the node's JVM.
_LOOK = r"""
grep -E '^(State|Threads|VmRSS):' /proc/1/status
echo "limit $(grep '^Max open files' /proc/1/limits)"
echo "files $(ls /proc/1/fd | wc -l)"
for place in "$@"; do
  test -w "$place" && echo "writable $place"
  echo "space $place $(df -Pk "$place" 2>/dev/null | tail -n 1)"
done
exit 0
"""
# Sends the bytes in $3, written as printf takes them, to host $1 and port $2; prints `answered` or the reason.
_ASK = r"""
exec 3<>"/dev/tcp/$1/$2" || exit 1
printf "$3" >&3
test "$(timeout SECONDS head -c 1 <&3 | wc -c)" -gt 0 && echo answered || echo 'it does not answer'
""".replace("SECONDS", str(_ANSWER_S))
_ASK_ALL = r"""
ask=$1; shift
while test $# -gt 0; do
  said=$(timeout SECONDS bash -c "$ask" ask "$1" "$2" "$3" 2>&1 | head -n 1) &&
  echo "$1:$2 ${said:-no answer within SECONDS s}" &
  shift 3
done
wait
""".replace("SECONDS", str(_ANSWER_S + 1))


def machine(api: Any) -> Machine:  # noqa: ANN401 the SDK's client has no types
    """The engine and its machine."""
    before = now_s()
    told = api.info()
    now = (before + now_s()) / 2
    at = time_s(told.get("SystemTime", ""))
    return Machine(
        name=f"the Docker engine at {chosen_engine()}",
        version=str(told.get("ServerVersion", "")),
        architecture=architecture_of(str(told.get("Architecture", ""))),
        processors=told.get("NCPU"),
        memory_bytes=told.get("MemTotal"),
        clock_ahead_s=at - now if at is not None else None,
        started_s=_started_s(api),
        is_here=str(api.base_url).startswith(_LOCAL),
    )


def _started_s(api: Any) -> float | None:  # noqa: ANN401 see above
    with suppress(APIError):  # an engine may be run without it
        return time_s(api.inspect_network(DEFAULT_NETWORK).get("Created", ""))
    return None


def surroundings(api: Any, name: str, containers: Iterable[Mapping[str, Any]]) -> Surroundings:  # noqa: ANN401 see above
    """What is around an environment's nodes; `containers` are all, its own and others."""
    every = list(containers)
    ours = [container for container in every if found.belongs(container, name)]
    names = {container["Labels"].get(SOFTWARE, container["Image"]) for container in ours if found.is_node(container)}
    images = {image: inspect(api, image) for image in sorted(names)}
    known = {container["Id"] for container in ours}
    strangers = []
    if network := networks.find(api, name):
        for identity, member in (api.inspect_network(network["Id"]).get("Containers") or {}).items():
            if identity not in known and (stranger := _stranger(api, identity, member["Name"])):
                strangers.append(stranger)
    return Surroundings(
        strangers=tuple(sorted(strangers)),
        software={image: architecture_of(told["Architecture"]) if told else None for image, told in images.items()},
        published={
            port["PublicPort"]: found.names_of(container)[0]
            for container in every
            if not found.belongs(container, name)
            for port in container["Ports"] or ()
            if "PublicPort" in port
        },
        configured={
            node: f"{name_of(name, node)}:{NODE_HOME}/config"
            for node in sorted(container["Labels"][NODE] for container in ours if found.is_node(container))
        },
    )


def _stranger(api: Any, identity: str, name: str) -> str:  # noqa: ANN401 see above
    with suppress(NotFound):
        labels = api.inspect_container(identity)["Config"]["Labels"] or {}
        if other := labels.get(ENVIRONMENT):
            return f"{name} (environment {other})"
    return ""  # what clients run may be there


def of_node(api: Any, container: str) -> Vitals:  # noqa: ANN401 see above
    """What a node uses, and how its last run ended."""
    told = api.inspect_container(container)
    state, host = told["State"], told["HostConfig"]
    ended_s = None if state["Running"] else time_s(state.get("FinishedAt", ""))
    seen: dict[str, Any] = {}
    if state["Running"] and not state["Paused"]:
        code, output = execution.run(api, container, ["sh", "-c", _LOOK, "look", *_LOOKED_AT])
        if code == NOT_ENDED:
            raise Unavailable("what looks into its container does not end", why=output)
        seen = _seen(output)
    return Vitals(
        stopped=seen.get("stopped", False),
        memory=Usage(seen.get("memory"), host.get("Memory") or None),
        open_files=Usage(seen.get("files"), seen.get("limit")),
        threads=Usage(seen.get("threads"), host.get("PidsLimit") or None),
        spaces=tuple(seen.get("spaces", ())),
        started_s=time_s(state.get("StartedAt", "")),
        ended_s=ended_s,
        error=state.get("Error", ""),
    )


def _seen(output: str) -> dict[str, Any]:
    """What `_LOOK` printed."""
    seen: dict[str, Any] = {"spaces": []}
    writable = set()
    for line in output.splitlines():
        match line.split():
            case ["State:", state, *_]:
                seen["stopped"] = state in ("T", "t")
            case ["Threads:", count]:
                seen["threads"] = int(count)
            case ["VmRSS:", size, "kB"]:
                seen["memory"] = int(size) * _KIB
            case ["files", count]:
                seen["files"] = int(count)
            case ["limit", "Max", "open", "files", soft, *_] if soft.isdecimal():
                seen["limit"] = int(soft)
            case ["writable", place]:
                writable.add(place)
            case ["space", place, *columns] if len(columns) == _COLUMNS:
                total, free = int(columns[1]) * _KIB, int(columns[3]) * _KIB
                seen["spaces"].append(Space(place, total, free, writable=place in writable))
    return seen


def ask(
    api: Any,  # noqa: ANN401 see above
    environment: str,
    image: str,
    network: str,
    probes: Sequence[Probe],
    labels: Mapping[str, str] | None = None,
) -> Reached:
    """Send probes from a container of its own in a network; `labels` are its own, if they are not the usual ones."""
    options, host = asking(environment, image, network, probes)
    options["labels"] = labels or options["labels"]
    host |= hardening(memory_bytes=MEMORY_BYTES, image_volumes=volumes_of(api, image))
    created = api.create_container(**options, host_config=api.create_host_config(**host))
    try:
        api.start(created["Id"])
        api.wait(created["Id"], timeout=ASK_TIMEOUT_S)
        return reached(probes, api.logs(created["Id"]).decode(errors="replace"))
    finally:
        ending.remove(api, created["Id"], "what asked for addresses")


def asking(
    environment: str, image: str, network: str, probes: Sequence[Probe]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The container that sends probes, with the environment's own image, and its host configuration."""
    words = []
    for probe in probes:
        host, _, port = probe.address.rpartition(":")
        words += [host.strip("[]"), port, "".join(f"\\x{byte:02x}" for byte in probe.request)]
    container = {
        "image": image,
        "entrypoint": ["bash", "-c", _ASK_ALL, "ask", _ASK, *words],
        "command": [],
        "labels": {ENVIRONMENT: environment, ROLE: TOOL_ROLE, **process_label()},
    }
    return container, {"network_mode": network}


def reached(probes: Sequence[Probe], output: str) -> Reached:
    """What the container that sends probes printed."""
    said = dict(line.split(" ", 1) for line in output.splitlines() if " " in line)
    answers = {}
    for probe in probes:
        reason = said.get(probe.address, "it was not asked").strip()
        answers[probe.address] = "" if reason == "answered" else reason.rpartition(": ")[2]
    return answers


def time_s(text: str) -> float | None:
    """A time of the engine's API (RFC 3339) as Unix time; None for none, and for the year 1, which means never."""
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
        return at.timestamp() if at.year > 1 else None
    return None
