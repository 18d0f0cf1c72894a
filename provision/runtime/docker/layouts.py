"""Check an image's layout against the catalogue before its container starts."""

import base64
import json
import posixpath
from collections.abc import Mapping
from typing import Any

import docker
import requests
from docker.errors import create_api_error_from_http_exception

from provision.catalogue.images import IMAGES, layout_of
from provision.errors import ProvisionError
from provision.runtime.docker.images import DEFAULT_PATH

_STAT = "X-Docker-Container-Path-Stat"
_PERMISSIONS = 0o777  # Go's file modes have all else above: a directory, a link and so on


def require_layout(api: docker.APIClient, container: str, image: str, configuration: Mapping[str, Any]) -> None:
    """Check that Java and the jars are where the catalogue expects them, in a container of `image`, running or not.

    Args:
        api: the engine.
        container: the container's id.
        image: the image's name.
        configuration: the image's, as the engine reports it: `Env`, `WorkingDir`, …

    Raises:
        ProvisionError: one of them is missing; names what was expected.
    """
    layout = layout_of(image)
    path = next((one.removeprefix("PATH=") for one in configuration.get("Env") or () if one.startswith("PATH=")), "")
    java = [posixpath.join(directory, layout.java) for directory in (path or DEFAULT_PATH).split(":")]
    libs = posixpath.join(configuration.get("WorkingDir") or "/", layout.libs[0])
    missing = [
        *([] if any(is_there(api, container, place) for place in java) else [f"no {layout.java} (PATH is {path})"]),
        *([] if is_there(api, container, libs) else [f"no jars in {libs}"]),
    ]
    if missing:
        known = ", ".join(one.repository for one in IMAGES)
        raise ProvisionError(
            f"the image {image} is not laid out like {layout.repository}",
            why=f"it has {' and '.join(missing)}",
            hint=f"what an image holds is known by the end of its repository's name ({known}): give yours that of the "
            f"one it was made from, like mine/confluentinc/cp-kafka, with `docker tag`",
        )


def is_there(api: docker.APIClient, container: str, path: str) -> bool:
    """Whether the container's file system has the path; the SDK's own method would download its content."""
    return _looked_at(api, container, path) is not None


def size_of(api: docker.APIClient, container: str, path: str) -> int | None:
    """The size of a file in a container, in bytes; None if there is no such file, or the engine does not tell."""
    answer = _looked_at(api, container, path)
    if answer is None or _STAT not in answer.headers:
        return None
    told = json.loads(base64.b64decode(answer.headers[_STAT]))
    return int(told["size"]) if told["mode"] <= _PERMISSIONS else None


def _looked_at(api: docker.APIClient, container: str, path: str) -> requests.Response | None:
    url = f"{api.base_url}/v{api.api_version}/containers/{container}/archive"
    answer = api.head(url, params={"path": path}, timeout=api.timeout)
    if answer.status_code == requests.codes.not_found:
        return None
    try:
        answer.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)  # raises, as the SDK's own methods do
    return answer
