"""Files of other programs that are handed over as environment files: what each one is, and what to do with it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from provision.spec.model import EnvironmentSpec

# A file with one of these is meant for this program, whatever else it has; the other keys are common in many formats.
_OWN = frozenset(EnvironmentSpec.model_fields) - {"name", "runtime", "vars", "storage", "templates", "zookeeper", "ttl"}
_SECTIONS = "an environment file has sections such as kafka, brokers and topics; `provision init` writes one"
_COMPOSE_HINT = f"keep it for `docker compose`: {_SECTIONS}"
_PROPERTIES_HINT = (
    "put its settings below `brokers: {properties: ...}` of an environment file; `provision init` writes one"
)


class Foreign(Struct, frozen=True):
    """What a file is, with its article, and what to do about it."""

    what: str
    hint: str = _SECTIONS


def _has(*keys: str) -> Callable[[Mapping[object, object]], bool]:
    return lambda data: all(key in data for key in keys)


def _is_helm(data: Mapping[object, object]) -> bool:
    image = data.get("image")
    return "replicaCount" in data or (isinstance(image, Mapping) and "repository" in image)


def _are_properties(data: Mapping[object, object]) -> bool:
    return bool(data) and all(isinstance(key, str) and "." in key for key in data)


_MAPPINGS: tuple[tuple[Callable[[Mapping[object, object]], bool], Foreign], ...] = (
    (_has("provision_lock"), Foreign("a lock of `provision lock`", "name the environment file beside it")),
    (_has("provision_plan"), Foreign("a saved plan", "`provision up ENV --plan FILE` carries it out")),
    (_has("apiVersion", "kind"), Foreign("a Kubernetes manifest", f"keep it for `kubectl`: {_SECTIONS}")),
    (_has("apiVersion", "name"), Foreign("the Chart.yaml of a Helm chart", f"keep it for `helm`: {_SECTIONS}")),
    (_is_helm, Foreign("a values file of a Helm chart", f"keep it for `helm`: {_SECTIONS}")),
    (_has("$schema", "properties"), Foreign("a JSON Schema", "it describes files; name the file itself")),
    (_has("services"), Foreign("a Docker Compose file", _COMPOSE_HINT)),
    (_has("jobs", "on"), Foreign("a workflow of GitHub Actions")),
    (_has("asyncapi"), Foreign("an AsyncAPI document")),
    (_has("openapi"), Foreign("an OpenAPI document")),
    (_has("name", "version", "dependencies"), Foreign("the manifest of a software package")),
    (_are_properties, Foreign("a mapping of Kafka's settings", _PROPERTIES_HINT)),
)

_SHEBANG, _SCRIPT = "#!", Foreign("a script")
_TEXTS: tuple[tuple[re.Pattern[str], Foreign], ...] = (
    (re.compile(_SHEBANG), _SCRIPT),
    (re.compile(r"\s*<"), Foreign("XML or HTML")),
    (re.compile(r"-----BEGIN "), Foreign("a certificate or a key")),
    (re.compile(r"(?s).*^apiVersion: .*^kind: ", re.MULTILINE), Foreign("a Kubernetes manifest")),
    (re.compile(r"(?s)(?:\s*#[^\n]*\n|\s)*\[[^\]\n]+\]\s*\n\s*[\w.-]+\s*="), Foreign("an INI or TOML file")),
)
_SETTING = re.compile(r"[A-Za-z_][\w.-]*\s*=.*")

# Keys that only other formats have at the top, for a file that mixes them with ours.
_FOREIGN_KEYS = {
    **dict.fromkeys(("services", "networks", "volumes", "configs", "secrets"), "Docker Compose"),
    **dict.fromkeys(("apiVersion", "kind", "metadata", "spec"), "Kubernetes"),
    **dict.fromkeys(("replicaCount", "image"), "a Helm chart"),
}
_INSTEAD = {
    "services": "write its brokers as `brokers:`, and leave other services to `docker compose`",
    "networks": "remove it: every environment gets a network of its own",
    "volumes": "remove it, and say with `storage:` where data are kept",
    "configs": "remove it, and see `templates:` for configuration files of your own",
    "image": "name the image with `kafka: {image: ...}`",
    "replicaCount": "write `brokers: {nodes: ...}`",
}


def foreign(data: object, text: str) -> Foreign | None:
    """What a file is, if it can be told that it is no environment file.

    Args:
        data: its values; None if it is not YAML.
        text: all of it.
    """
    if isinstance(data, Mapping):
        if _OWN & data.keys():
            return None
        if known := next((known for fits, known in _MAPPINGS if fits(data)), None):
            return known
        return _SCRIPT if data and text.startswith(_SHEBANG) else None
    return _foreign_text(text)


def _foreign_text(text: str) -> Foreign | None:
    if known := next((known for form, known in _TEXTS if form.match(text)), None):
        return known
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(("#", "!"))]
    if said and all(_SETTING.fullmatch(line.removeprefix("export ")) for line in said):
        return Foreign("a file of key=value lines, such as server.properties", _PROPERTIES_HINT)
    return None


def foreign_key_hint(key: object) -> str:
    """What to do about a key of another format at the top of an environment file; empty for others."""
    if key not in _FOREIGN_KEYS:
        return ""
    return f"it belongs to {_FOREIGN_KEYS[str(key)]}; {_INSTEAD.get(str(key), 'remove it')}"


def is_ours(data: Mapping[object, object]) -> bool:
    """Whether a mapping can be an environment file: it has a key of one, or none at all."""
    return not data or bool(EnvironmentSpec.model_fields.keys() & data.keys())


# Left behind by editors, and by copying from another system: backups, locks, swap files, resource forks.
_LEFT_BEHIND = re.compile(r"\.[#_].*|#.*#?|.*~|\..*\.sw[a-p]|.*\.(?:bak|orig|rej|swp|tmp)")


def is_left_behind(file: Path) -> bool:
    """Whether a file is by its name an editor's backup, lock or swap file."""
    return _LEFT_BEHIND.fullmatch(file.name) is not None
