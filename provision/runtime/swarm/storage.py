"""What jobs on its engine do with a node's volume: prepare it, format it, look into it."""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from typing import Any

from docker.types import ConfigReference
from msgspec import Struct

from provision.catalogue.images import layout_of
from provision.catalogue.versions import core_jar
from provision.cluster.formatted import BOOTSTRAP, formatted
from provision.cluster.layout import NODE_HOME
from provision.cluster.model import MAIN_FILES, Role
from provision.errors import ProvisionError
from provision.plan.stored import META_FILE, StoredData, is_used, meta_in, shows_use
from provision.runtime import tool_logging
from provision.runtime.base import format_command, format_failed
from provision.runtime.docker import containers as spec
from provision.runtime.docker import tools
from provision.runtime.swarm import jobs, services
from provision.runtime.swarm.layout import CONFIG_DIR
from provision.runtime.swarm.records import Record, Records
from provision.runtime.swarm.services import Image

_TOOL_DIR = "/etc/provision-tool"
_MEMORY_BYTES = 256 * 1024**2
_DATA = f"{NODE_HOME}/data"
_PREPARE = r"""
test -z "$4" || rm -rf "$1/data" "$1/tmp" || exit 1
mkdir -p "$1/data" "$1/tmp" && chown "$2" "$1" "$1/data" "$1/tmp" || exit 1
test -z "$3" || test -e "$1/data/myid" || { echo "$3" >"$1/data/myid" && chown "$2" "$1/data/myid"; }
"""
# Ends with 9 and writes nothing where the tool might write something else.
_LEFT, _FORMATTED = 9, "formatted.tar"
_PUT = r"""
test -e "$1" || exit 9
for place in "$2"/* "$2"/.[!.]*; do
  test ! -e "$place" || test "$place" = "$2/$4" || exit 9
done
tar -x -C "$2" -f "$3"
"""
# Prints `meta BASE64`, `file SIZE PATH` and `directory PATH`.
_LOOK = r"""
cd "$1" 2>/dev/null || exit 0
test -f meta.properties && echo "meta $(base64 <meta.properties | tr -d '\n')"
for place in *; do
  test -d "$place" && echo "directory $place"
done
for place in __cluster_metadata-0/* version-2/*; do
  test -f "$place" && echo "file $(wc -c <"$place") $place"
done
exit 0
"""


def prepare(
    api: Any,  # noqa: ANN401 the SDK's client has no types
    environment: str,
    record: Record,
    image: Image,
    account: str,
    *,
    empty: bool,
) -> None:
    """Have the engine create the volume, and give it to the node's account, which may not do so itself.

    `empty` removes what the node has left there when it was given up.
    """
    role, number = Role.parse(record.node)
    own_id = str(role.id_of(number)) if role is Role.ZOOKEEPER else ""
    code, output = jobs.run(
        api,
        environment,
        image,
        record.engine,
        ["sh", "-c", _PREPARE, "prepare", NODE_HOME, account, own_id, "empty" if empty else ""],
        what=f"what prepares the volume of {record.node}",
        user="0:0",
        capabilities=["CHOWN", "DAC_OVERRIDE"],
        memory_bytes=_MEMORY_BYTES,
        mounts=[services.volume_mount(environment, record.node)],
        node=record.node,
    )
    if code:
        raise ProvisionError(f"the volume of {record.node} could not be prepared", why=_text(output))


class Formatting(Struct, frozen=True):
    """What is formatted: the storage of a record, with an image, which is called `software`."""

    environment: str
    record: Record
    image: Image
    software: str
    account: str
    cluster_id: str


def run_format(api: Any, records: Records, what: Formatting) -> None:  # noqa: ANN401 as above
    """Put the files in place that the release's own tool would write; where it might write others, run that.

    Raises:
        ProvisionError: it fails; has what it said.
    """
    if _put_formatted(api, records, what):
        return
    main = format_command(what.record.node, what.cluster_id, CONFIG_DIR)
    command = tools.java_command(what.software, main, heap="64m", logging=_TOOL_DIR)
    code, output = _run(api, records, what, command, tool_logging.FILES)
    if code:
        raise format_failed(what.record.node, _text(output))


def _put_formatted(api: Any, records: Records, what: Formatting) -> bool:  # noqa: ANN401 as above
    """Format an empty data directory; False, and nothing is written, if that is left to the tool."""
    labels, (role, number) = what.record.labels, Role.parse(what.record.node)
    version = spec.version_in(labels)
    readable = {file.name: file.text for file in records.read(what.record) if not file.secret}
    if MAIN_FILES[role] not in readable:
        return False
    contents = formatted(version, role.id_of(number), what.cluster_id, readable[MAIN_FILES[role]], _DATA)
    if contents is None:
        return False
    jar = f"{layout_of(what.software).libs[0]}/{core_jar(version)}"
    command = ["sh", "-c", _PUT, "put", jar, _DATA, f"{_TOOL_DIR}/{_FORMATTED}", BOOTSTRAP]
    tar = {_FORMATTED: spec.archive_of_data(contents, what.account)}
    code, output = _run(api, records, what, command, tar)
    if code not in (0, _LEFT):
        raise format_failed(what.record.node, _text(output))
    return code == 0


def _run(
    api: Any,  # noqa: ANN401 as above
    records: Records,
    what: Formatting,
    command: Sequence[str],
    files: Mapping[str, str | bytes],
) -> tuple[int, bytes]:
    """Run a job with the node's files and volume, and with further files."""
    record = what.record
    configs, secrets = record.references(what.account)
    further = records.put_for_job(what.environment, record.node, files)
    return jobs.run(
        api,
        what.environment,
        what.image,
        record.engine,
        command,
        what=f"what formats the storage of {record.node}",
        user=what.account,
        memory_bytes=_MEMORY_BYTES,
        mounts=[services.volume_mount(what.environment, record.node)],
        node=record.node,
        configs=[*configs, *(ConfigReference(one.id, one.object, f"{_TOOL_DIR}/{one.name}") for one in further)],
        secrets=secrets,
    )


def look(api: Any, records: Records, environment: str, record: Record, image: Image) -> StoredData | None:  # noqa: ANN401 as above
    """What the volume contains; None if that cannot be read."""
    code, output = jobs.run(
        api,
        environment,
        image,
        record.engine,
        ["sh", "-c", _LOOK, "look", _DATA],
        what=f"what looks into the volume of {record.node}",
        user=_account(record),
        memory_bytes=_MEMORY_BYTES,
        mounts=[services.volume_mount(environment, record.node)],
        node=record.node,
    )
    return None if code else _stored(records, environment, record, _text(output))


def _stored(records: Records, environment: str, record: Record, output: str) -> StoredData:
    meta: dict[str, str] = {}
    shown = False
    for line in output.splitlines():
        match line.split(" ", 2):
            case ["meta", encoded]:
                meta = meta_in(_decoded(encoded))
            case ["directory", *path]:
                shown = shown or shows_use(" ".join(path), 0, is_directory=True)
            case ["file", size, path] if size.isdecimal():
                shown = shown or shows_use(path, int(size), is_directory=False)
    volume = spec.name_of(environment, record.node)
    place = f"volume {volume} on {record.engine_name}, {_DATA}{f'/{META_FILE}' if meta else ''}"
    return StoredData(record.node, place, meta, shown or is_used(meta), records.read(record))


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text)
    except (NotBase64, ValueError):
        return b""


def _account(record: Record) -> str:
    account = layout_of(record.labels.get(spec.SOFTWARE, "")).user
    return f"{account}:{account}"


def _text(output: bytes) -> str:
    return output.decode(errors="replace")
