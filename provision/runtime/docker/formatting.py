"""Format a node's storage: by an upload if it is known what the release's own tool would write, else by that tool."""

import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from provision.catalogue.images import layout_of
from provision.catalogue.versions import KafkaVersion, core_jar
from provision.cluster.formatted import BOOTSTRAP, formatted
from provision.cluster.layout import NODE_HOME
from provision.cluster.model import MAIN_FILES, RenderedFile, Role
from provision.runtime.base import format_command
from provision.runtime.docker import containers as spec
from provision.runtime.docker import ending, stored, tools
from provision.runtime.docker.layouts import is_there

_TIMEOUT_S = 60


def upload_formatted(
    api: Any,  # noqa: ANN401 the SDK's client has no types
    details: Mapping[str, Any],
    node: str,
    cluster_id: str,
    fresh: Sequence[RenderedFile] = (),
) -> bool:
    """Format the empty data directory in a node's volume; False, and nothing is written, if that is left to the tool.

    Args:
        api: the engine.
        details: those of the node's container, as the engine inspects it.
        node: its name.
        cluster_id: the cluster's.
        fresh: the node's files, if they and its empty data directory have just been put there: nothing is read then.
    """
    version, (role, number) = spec.version_in(details["Config"]["Labels"]), Role.parse(node)
    if any(mount["Type"] == "bind" for mount in details["Mounts"]):  # a user's directory, which only the node writes to
        return False
    files = fresh or stored.files_of(api, details["Id"], node)
    (text,) = [file.text for file in files if file.name == MAIN_FILES[role]] or [""]
    contents = formatted(version, role.id_of(number), cluster_id, text, stored.DATA)
    if contents is None or not _has_release(api, details, version):
        return False
    if not fresh and not _is_empty(api, details["Id"]):
        return False
    api.put_archive(details["Id"], stored.DATA, spec.archive_of_data(contents, details["Config"]["User"]))
    return True


def _has_release(api: Any, details: Mapping[str, Any], version: KafkaVersion) -> bool:  # noqa: ANN401 as above
    """Whether the image has Apache's own jars of the release, whatever the image is called."""
    libs = layout_of(details["Config"]["Image"]).libs[0]
    return is_there(api, details["Id"], f"{libs}/{core_jar(version)}")


def _is_empty(api: Any, container: str) -> bool:  # noqa: ANN401 as above
    """Whether the data directory has nothing, or only what an upload that was cut off has left of its first file."""
    try:
        return all(name == BOOTSTRAP for name in stored.names_in(api, container, stored.DATA))
    except tarfile.TarError:
        return False


def run_format(
    api: Any,  # noqa: ANN401 as above
    details: Mapping[str, Any],
    node: str,
    cluster_id: str,
    image_volumes: Sequence[str],
) -> tuple[int, str]:
    """Run the tool in a container of its own with the node's mounts; returns its exit code and output."""
    image, environment = details["Config"]["Image"], details["Config"]["Labels"][spec.ENVIRONMENT]
    command = tools.java_command(image, format_command(node, cluster_id, f"{NODE_HOME}/config"), heap="64m")
    options, host = spec.format_options(environment, details, command, image_volumes)
    created = api.create_container(**options, host_config=api.create_host_config(**host))
    try:
        api.put_archive(created["Id"], NODE_HOME, tools.logging_archive())
        api.start(created["Id"])
        code = api.wait(created["Id"], timeout=_TIMEOUT_S)["StatusCode"]
        return int(code), api.logs(created["Id"]).decode(errors="replace")
    finally:
        ending.remove(api, created["Id"], "what formatted a storage")
