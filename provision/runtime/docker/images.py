"""Pulling an image, with progress."""

import docker

from provision.cluster.images import Reference
from provision.errors import ProvisionError, Unavailable
from provision.events import Fetching, Listener
from provision.runtime.docker.client import translated


def pull(api: docker.APIClient, image: str, tell: Listener) -> None:
    """Pull `image`, telling `Fetching` events with the bytes of all layers so far.

    Raises:
        Unavailable: the registry does not answer, or has no such image.
    """
    reference = Reference.parse(image)
    tag = reference.digest or reference.tag or "latest"
    done: dict[str, int] = {}
    total: dict[str, int] = {}
    try:
        with translated(f"pulling {image}"):
            for step in api.pull(reference.repository, tag=tag, stream=True, decode=True):
                if "error" in step:
                    raise ProvisionError(f"pulling {image}", why=str(step["error"]))  # noqa: TRY301 as the engine's own
                progress, layer = step.get("progressDetail") or {}, step.get("id", "")
                if step.get("status") == "Downloading" and progress.get("total"):
                    done[layer], total[layer] = progress["current"], progress["total"]
                elif step.get("status") in ("Download complete", "Pull complete") and layer in total:
                    done[layer] = total[layer]
                tell(Fetching(image, sum(done.values()), sum(total.values())))
    except ProvisionError as error:
        raise _missing(image, error.why) from error


def _missing(image: str, why: str) -> Unavailable:
    hint = "check the name and the network; without a registry, `docker load` an image and name it with kafka.image"
    return Unavailable(f"the image {image} is not on this engine and cannot be pulled", why=why, hint=hint)
