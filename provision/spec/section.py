"""What all models of an environment file have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A mapping of known keys, in which every value must have exactly the declared type."""

    # Those that a command does not read are never built.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)
