"""Users in an environment file: who may connect, and where their passwords come from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from provision.security.profiles import ITSELF, PROFILES
from provision.spec.section import Section

if TYPE_CHECKING:
    from provision.spec.checks import Finding
    from provision.spec.model import EnvironmentSpec

USER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class PasswordSpec(Section):
    """Where a password comes from; it is never in the file itself."""

    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The environment variable that `up` finds it in."""
    file: Annotated[str, Field(min_length=1)] | None = None
    """The file that it is the first line of; a relative path is relative to the environment file's directory."""

    @model_validator(mode="after")
    def _one_source(self) -> "PasswordSpec":
        if (self.env is None) == (self.file is None):
            raise ValueError("a password comes from env or from file: give one of them")
        return self


class UserSpec(Section):
    """A user of the cluster."""

    name: Annotated[str, Field(pattern=USER_PATTERN)]
    """The user's name."""
    password: PasswordSpec | None = None
    """Where the password comes from. Default: `up` makes one."""


def users(spec: "EnvironmentSpec") -> Iterator["Finding"]:
    """Users are told apart, each once, and none is taken for the program itself."""
    from provision.spec.checks import Finding

    profile = PROFILES[spec.security]
    if spec.users and not profile.knows_users:
        knowing = ", ".join(one.name for one in PROFILES.values() if one.knows_users)
        message = f"with security: {spec.security} nobody says who they are"
        yield Finding(("users",), message, f"use one of {knowing}", at_key=True)
    seen: set[str] = set()
    for index, user in enumerate(spec.users):
        if user.name in seen:
            yield Finding(("users", index, "name"), f"the user {user.name} is there twice", "remove one of them")
        if user.name == ITSELF:
            yield Finding(("users", index, "name"), f"{ITSELF} is the cluster's own user", "use another name")
        if user.password and profile.knows_users and not profile.mechanism:
            message = f"with security: {spec.security} users show a certificate, which `up` makes, and no password"
            yield Finding(("users", index, "password"), message, "remove it", at_key=True)
        seen.add(user.name)
