"""Check an image's layout against the catalogue before its container starts."""

import posixpath
from collections.abc import Mapping
from typing import Any

import docker
import requests

from provision.catalogue.images import IMAGES, layout_of
from provision.errors import ProvisionError
from provision.runtime.docker.images import DEFAULT_PATH


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
    url = f"{api.base_url}/v{api.api_version}/containers/{container}/archive"
    answer = api.head(url, params={"path": path}, timeout=api.timeout)
    if answer.status_code == requests.codes.not_found:
        return False
    answer.raise_for_status()
    return True
