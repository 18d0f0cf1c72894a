"""Finding an image, and pulling it with progress."""

from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import ImageNotFound

from provision.errors import ProvisionError, Unavailable
from provision.events import Fetching, Listener
from provision.runtime.docker.client import translated

_HINT = "check the name and the network; without a registry, `docker load` brings an image from a file"


def inspect(api: docker.APIClient, image: str) -> Mapping[str, Any] | None:
    """What the engine says of an image; None where it is not there."""
    with translated(f"looking for the image {image}"):
        try:
            details: Mapping[str, Any] = api.inspect_image(image)
        except ImageNotFound:
            return None
    return details


def pull(api: docker.APIClient, image: str, tell: Listener, hint: str = _HINT) -> None:
    """Pull `image`, telling `Fetching` events with the bytes of all layers so far; `hint` is for when it cannot be had.

    Raises:
        Unavailable: the registry does not answer, or has no such image.
    """
    repository, tag = split(image)
    done: dict[str, int] = {}
    total: dict[str, int] = {}
    try:
        with translated(f"pulling {image}"):
            for step in api.pull(repository, tag=tag, stream=True, decode=True):
                if "error" in step:
                    raise ProvisionError(f"pulling {image}", why=str(step["error"]))  # noqa: TRY301 as the engine's own
                progress, layer = step.get("progressDetail") or {}, step.get("id", "")
                if step.get("status") == "Downloading" and progress.get("total"):
                    done[layer], total[layer] = progress["current"], progress["total"]
                elif step.get("status") in ("Download complete", "Pull complete") and layer in total:
                    done[layer] = total[layer]
                tell(Fetching(image, sum(done.values()), sum(total.values())))
    except ProvisionError as error:
        what = f"the image {image} is not on this engine and cannot be pulled"
        raise Unavailable(what, why=error.why, hint=hint) from error


def split(image: str) -> tuple[str, str | None]:
    """Repository and tag or digest; a colon before the last slash belongs to a registry's port."""
    if "@" in image:
        repository, _, digest = image.partition("@")
        return repository, digest
    repository, colon, tag = image.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (image, "latest")
