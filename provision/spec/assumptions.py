"""What is assumed where a file leaves something open: said once, for whoever meant something else."""

from collections.abc import Iterator, Mapping

from provision.catalogue.images import is_known, is_known_ensemble, layout_of
from provision.spec.model import EnvironmentSpec


def assumptions(spec: EnvironmentSpec, data: Mapping[object, object]) -> Iterator[str]:
    """A sentence for each assumption.

    Args:
        spec: the checked file.
        data: the values that it was read from.
    """
    if spec.bootstrap_servers:
        return
    kafka = data.get("kafka")
    written = kafka.get("version") if isinstance(kafka, Mapping) else None
    version, image = spec.kafka.version, spec.kafka.image
    if written is not None and str(written) != version:
        why = f"the version of {image}" if _is_of(image, version) else f"the newest {written} that is known"
        yield f"kafka.version {written} is taken as {version}, {why}"
    if image and not is_known(image):
        what = f"laid out like apache/kafka ({_layout(image)})"
        if written is None:
            yield f"kafka.image {image} is not known: assuming Kafka {version}, {what}; for another, set kafka.version"
        else:
            yield f"kafka.image {image} is not known: assuming that it is {what}"
    ensemble = spec.zookeeper.image
    if ensemble and ensemble != image and not is_known_ensemble(ensemble):
        what = f"laid out like apache/kafka ({_layout(ensemble)})"
        yield f"zookeeper.image {ensemble} is not known: assuming that it is {what}"


def _is_of(image: str | None, version: str) -> bool:
    return image is not None and f":{version}" in image


def _layout(image: str) -> str:
    layout = layout_of(image)
    return f"jars in {layout.libs[0]}, user {layout.user}, `{layout.java}` on the PATH"
