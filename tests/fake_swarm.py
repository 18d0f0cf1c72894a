"""The configs and secrets of a swarm's manager, in memory."""

from base64 import b64encode
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import requests
from docker.errors import APIError, NotFound


class Answer:
    """A response with JSON."""

    def __init__(self, told: Any, status: int = HTTPStatus.OK) -> None:  # noqa: ANN401 any JSON
        self.status_code, self._told, self.content, self.text = status, told, b"x" if told is not None else b"", ""

    def json(self) -> Any:  # noqa: ANN401 any JSON
        """What it says."""
        return self._told


class FakeManager:
    """As much of the SDK's client as notes and records use."""

    base_url, api_version, timeout = "http+docker://localhost", "1.41", 60

    def __init__(self) -> None:
        self.things: dict[str, dict[str, dict[str, Any]]] = {"configs": {}, "secrets": {}}
        self.in_use: set[str] = set()
        self.conflicts = 0
        """How often an update is refused because somebody else was quicker."""
        self._count = 0

    def create_config(self, name: str, data: bytes, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Create one."""
        return self._create("configs", name, data, labels)

    def create_secret(self, name: str, data: bytes, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Create one."""
        return self._create("secrets", name, data, labels)

    def _create(self, kind: str, name: str, data: bytes, labels: Mapping[str, str]) -> Mapping[str, str]:
        if any(thing["Spec"]["Name"] == name for thing in self.things[kind].values()):
            raise _refused(HTTPStatus.CONFLICT, f"rpc error: code = AlreadyExists desc = config {name} already exists")
        assert 0 < len(name) <= 64
        assert 0 < len(data) < 500 * 1024
        self._count += 1
        spec = {"Name": name, "Labels": dict(labels), "Data": b64encode(data).decode()}
        self.things[kind][str(self._count)] = {
            "ID": str(self._count),
            "Version": {"Index": 1},
            "CreatedAt": "2026-11-27T09:12:27.903893548Z",
            "Spec": spec,
        }
        return {"ID": str(self._count)}

    def configs(self, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Those that the filters match."""
        return self._listed("configs", filters)

    def secrets(self, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Those that the filters match, without their content."""
        return self._listed("secrets", filters)

    def _listed(self, kind: str, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        prefix = filters.get("name", "")
        wanted = [label.partition("=") for label in filters.get("label", ())]

        def fits(spec: Mapping[str, Any]) -> bool:
            labels = spec["Labels"]
            has = (key in labels and (not equals or labels[key] == value) for key, equals, value in wanted)
            return spec["Name"].startswith(prefix) and all(has)

        return [thing for thing in self.things[kind].values() if fits(thing["Spec"])]

    def inspect_config(self, identity: str) -> dict[str, Any]:
        """One by its id."""
        if identity not in self.things["configs"]:
            raise _refused(HTTPStatus.NOT_FOUND, "config not found")
        return self.things["configs"][identity]

    def remove_config(self, identity: str) -> None:
        """Remove one."""
        self._remove("configs", identity)

    def remove_secret(self, identity: str) -> None:
        """Remove one."""
        self._remove("secrets", identity)

    def _remove(self, kind: str, identity: str) -> None:
        if identity in self.in_use:
            raise _refused(HTTPStatus.BAD_REQUEST, "secret 'x' is in use by the following service: y")
        if self.things[kind].pop(identity, None) is None:
            raise _refused(HTTPStatus.NOT_FOUND, f"{kind} not found")

    def get(self, url: str, **_options: Any) -> Answer:  # noqa: ANN401 as of requests
        """One by its address."""
        return Answer(self.inspect_config(url.rpartition("/")[2]))

    def post(self, url: str, params: Mapping[str, Any], json: Mapping[str, Any], **_options: Any) -> Answer:  # noqa: ANN401
        """Change one, if nobody else has done so meanwhile."""
        thing = self.things["configs"][url.split("/")[-2]]
        if self.conflicts or params["version"] != thing["Version"]["Index"]:
            self.conflicts -= 1
            return Answer({"message": "rpc error: code = Unknown desc = update out of sequence"}, 500)
        thing["Spec"], thing["Version"] = dict(json), {"Index": params["version"] + 1}
        return Answer(None)


def _refused(status: HTTPStatus, why: str) -> APIError:
    response = requests.Response()
    response.status_code = status
    kind = NotFound if status == HTTPStatus.NOT_FOUND else APIError
    return kind(why, response=response, explanation=why)
