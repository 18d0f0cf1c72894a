"""Images: find them, pull them with progress, identify them by content."""

from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import ImageNotFound

from provision.catalogue.images import Reference
from provision.cluster.identity import Identities, Identity
from provision.cluster.model import Cluster
from provision.errors import Interrupted, ProvisionError, Unavailable
from provision.events import Fetching, Listener
from provision.runtime.docker.client import translated

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The engine's default PATH for an image that sets none."""

_HINT = "check the name and the network; without a registry, `docker load` brings an image from a file"


def inspect(api: docker.APIClient, image: str) -> Mapping[str, Any] | None:
    """The engine's description of an image; None if it does not have it."""
    with translated(f"looking for the image {image}"):
        try:
            details: Mapping[str, Any] = api.inspect_image(image)
        except ImageNotFound:
            return None
    return details


def volumes_of(api: docker.APIClient, image: str) -> tuple[str, ...]:
    """The paths for which an image declares an anonymous volume.

    Raises:
        Unavailable: the engine does not have it.
    """
    details = inspect(api, image)
    if details is None:
        raise Unavailable(f"the image {image} is not there", hint=f"`docker pull {image}`, or `provision up` again")
    return tuple(details["Config"].get("Volumes") or ())


def missing(api: docker.APIClient, cluster: Cluster) -> tuple[str, ...]:
    """The images of an environment that the engine does not have."""
    return tuple(image for image in cluster.all_software if inspect(api, image) is None)


def identities(api: docker.APIClient, cluster: Cluster) -> Identities:
    """The identities of the images of an environment that the engine has."""
    found = {name: inspect(api, name) for name in cluster.all_software}
    return {name: identity_of(name, image) for name, image in found.items() if image}


def fetch(api: docker.APIClient, cluster: Cluster, image: str, tell: Listener, digest: str) -> None:
    """Pull an image of an environment; with a digest, only if that is missing, and tag it then."""
    hint = (
        "check the name and the network; without a registry, "
        f"`provision image build {cluster.version} --base IMAGE` makes an image and `provision image load FILE` "
        "brings one that `docker save` wrote: name it with kafka.image"
    )
    if not digest:
        pull(api, image, tell, hint)
        return
    if inspect(api, digest) is None:
        pull(api, digest, tell, hint)
    tag(api, digest, image)


def pull(api: docker.APIClient, image: str, tell: Listener, hint: str = _HINT) -> None:
    """Pull `image`, with `Fetching` events for the bytes of all layers so far; `hint` is for the error if that fails.

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
    except Interrupted:  # raised by `tell`
        raise
    except ProvisionError as error:
        what = f"the image {image} is not on this engine and cannot be pulled"
        raise Unavailable(what, why=error.why, hint=hint) from error


def tag(api: docker.APIClient, known_as: str, image: str) -> None:
    """Tag an image that is known by a digest or id with the requested name."""
    name = Reference.parse(image)
    if not name.digest:  # a name with a digest cannot be a tag
        with translated(f"naming {known_as} {image}"):
            api.tag(known_as, name.repository, name.tag or "latest")


def identity_of(name: str, image: Mapping[str, Any]) -> Identity:
    """An image's identity from the engine's description (`docker inspect`).

    Its digest is one in the repository that `name` gives: the image may have been pulled from another one, which may be
    private, and where others could not find it.
    """
    asked = Reference.parse(name)
    known = map(Reference.parse, image["RepoDigests"] or ())
    own = sorted(one.digest for one in known if one.repository == _familiar(asked.repository))
    digest = asked.digest if asked.digest in own else next(iter(own), None)
    return Identity(image["Id"], f"{asked.repository}@{digest}" if digest else None)


def _familiar(repository: str) -> str:
    """The name as the engine shows it: without Docker Hub's prefix."""
    return repository.removeprefix("index.").removeprefix("docker.io/").removeprefix("library/")
