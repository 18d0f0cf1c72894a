"""A plan in a file, bound to the cluster and the state for which it was made."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, to_builtins
from pydantic import ConfigDict

from provision.cluster.model import RenderedFile
from provision.common.notes import DamagedNote, Note, parse_note
from provision.common.printable import printable
from provision.common.whole_files import require_no_other, told_as_unwritable, write_output
from provision.errors import Refused, UsageError
from provision.plan.actions import Plan
from provision.plan.observed import ObservedEnvironment

_FORMAT = 1
_MAX_BYTES = 64 * 1024**2


class _SavedAction(Note):
    model_config = ConfigDict(extra="allow")

    verb: str
    resource: str


class _Actions(Note):
    model_config = ConfigDict(extra="allow")

    actions: list[_SavedAction]


class _File(Note):
    provision_plan: Literal[1]
    environment: str
    cluster_id: str
    fingerprint: str
    plan: _Actions


class SavedPlan(Struct, frozen=True):
    """What `plan --out` writes."""

    environment: str
    cluster_id: str
    fingerprint: str
    plan: Mapping[str, Any]

    @property
    def resources(self) -> frozenset[tuple[str, str]]:
        """The planned changes as (verb, resource)."""
        return frozenset((action["verb"], action["resource"]) for action in self.plan["actions"])

    def write(self, file: Path) -> None:
        """Write the plan to a file, or in the place of an earlier plan.

        Raises:
            Refused: there is a file that is no plan.
            UsageError: the file cannot be written.
        """
        content = {"provision_plan": _FORMAT, **to_builtins(self)}
        with told_as_unwritable(file):
            require_no_other(file, b"provision_plan", "not a saved plan")
            write_output(file, json.dumps(content, indent=2) + "\n")

    @classmethod
    def read(cls, file: Path) -> "SavedPlan":
        """Read what `write` wrote.

        Raises:
            UsageError: it cannot be read, or is no plan.
        """
        hint = "`provision plan ENV --out FILE` writes one"
        try:
            with file.open("rb") as stream:  # of any kind: the user named it
                raw = stream.read(_MAX_BYTES + 1)
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror or error}", hint=hint) from error
        try:
            content = parse_note(raw[:_MAX_BYTES], _File)
        except DamagedNote as error:
            raise UsageError(f"{file} is not a plan of this version of provision", why=str(error), hint=hint) from error
        return cls(content.environment, content.cluster_id, content.fingerprint, content.plan.model_dump())

    def require_fresh(self, now: "SavedPlan") -> None:
        """Refuse a plan that was made for another state.

        Raises:
            Refused: the environment, its cluster, its state or the file differ from when the plan was made.
        """
        if self.fingerprint == now.fingerprint and self.environment == now.environment:
            return
        why = "the environment or its file has changed since"
        if self.environment != now.environment:
            why = f"it is a plan for {printable(self.environment)}"
        elif self.cluster_id != now.cluster_id:
            planned, present = printable(self.cluster_id) or "that was not there yet", now.cluster_id or "not there"
            why = f"it is for the cluster {planned}; this one is {present}"
        raise Refused(f"the plan is stale: {why}", hint="make a new one with `provision plan --out`")

    def require_known(self, plan: Plan) -> None:
        """Refuse changes that were not in the saved plan.

        Raises:
            Refused: names them.
        """
        known = self.resources
        unknown = [action for action in plan.actions if (action.verb, action.resource) not in known]
        if unknown:
            why = "\n".join(f"{action.resource} {action.verb}: {action.cause}" for action in unknown)
            raise Refused("the plan does not include everything that must be done now", why=why, hint="make a new plan")


def saved(
    plan: Plan,
    files: tuple[RenderedFile, ...],
    observed: ObservedEnvironment,
    cluster_id: str,
    resources: Mapping[str, object],
    authority: bytes = b"",
) -> SavedPlan:
    """The plan with a fingerprint of the desired and observed state that it was made from.

    Args:
        plan: the plan.
        files: the desired files of the nodes.
        observed: what the runtime has.
        cluster_id: the id of the cluster that answers; empty if none does.
        resources: by kind, the desired and observed state inside Kafka as plain data, without what changes by itself.
        authority: the certificates of the authority that the file names.
    """
    seen = {
        "plan": plan.as_dict() | {"actions": [_lasting(action) for action in plan.as_dict()["actions"]]},
        # New secrets are other ones whenever they are made; that those of a node change is in the plan.
        "files": [
            (file.node, file.name, "" if file.secret else hashlib.sha256(file.content).hexdigest()) for file in files
        ],
        "authority": hashlib.sha256(authority).hexdigest(),
        "nodes": [(node.name, node.state, node.config_hash) for node in observed.nodes],
        "storages": sorted(observed.storages),
        "cluster_id": cluster_id,
        "resources": resources,
    }
    fingerprint = hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()
    return SavedPlan(plan.environment, cluster_id, fingerprint, plan.as_dict())


def _lasting(action: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in action.items() if key not in ("detail", "bytes", "estimate_s")}
