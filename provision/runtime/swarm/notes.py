"""Notes of environments on a swarm: configs, which all of its managers have.

`runtime.docker.notes` keeps notes as volumes without content. Here is what it needs of an engine's API, with a config
in the place of each volume: making one of a name that exists is refused by the swarm, whichever manager is asked, so
that of several who make a note at once exactly one succeeds, as with volumes.
"""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import requests
from docker.errors import APIError, NotFound

from provision.runtime.swarm.calls import labelled

NAME = "provision.name"
"""The label of what a config stands for: its own name has at most 64 characters."""
_NOTHING = b"-"  # a config is never empty


class ConfigVolumes:
    """The configs of a swarm as if they were volumes without content."""

    def __init__(self, api: Any) -> None:  # noqa: ANN401 the SDK's client has no types
        self._api = api

    def create_volume(self, name: str, labels: Mapping[str, str]) -> Mapping[str, Any]:
        """Make one, unless there is one of that name; returns the one that is there then."""
        try:
            self._api.create_config(_config_of(name), _NOTHING, labels={**labels, NAME: name})
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
        return self.inspect_volume(name)

    def inspect_volume(self, name: str) -> Mapping[str, Any]:
        """The one of that name.

        Raises:
            NotFound: there is none.
        """
        return as_volume(self._config(name))

    def remove_volume(self, name: str) -> None:
        """Remove it.

        Raises:
            NotFound: there is none.
        """
        self._api.remove_config(self._config(name)["ID"])

    def volumes(self, filters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those with the labels that are asked for."""
        labels = filters["label"]
        wanted = labelled(*([labels] if isinstance(labels, str) else labels), NAME)
        return {"Volumes": [as_volume(config) for config in self._api.configs(filters=wanted)]}

    def info(self) -> Mapping[str, Any]:
        """What the engine tells of itself, its clock included."""
        told: Mapping[str, Any] = self._api.info()
        return told

    def _config(self, name: str) -> Mapping[str, Any]:
        # By its name, for which the list has a filter that also matches what only begins like it.
        for config in self._api.configs(filters={"name": _config_of(name)}):
            if config["Spec"]["Name"] == _config_of(name) and config["Spec"]["Labels"].get(NAME) == name:
                return dict(config)
        missing = requests.Response()
        missing.status_code = HTTPStatus.NOT_FOUND
        raise NotFound(f"there is no config for {name}", response=missing)


def as_volume(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config that stands for a volume, as an engine lists one."""
    spec = config["Spec"]
    return {"Name": spec["Labels"].get(NAME, ""), "Labels": spec["Labels"], "CreatedAt": config["CreatedAt"][:19] + "Z"}


def _config_of(name: str) -> str:
    return f"provision-{hashlib.sha256(name.encode()).hexdigest()[:40]}"
