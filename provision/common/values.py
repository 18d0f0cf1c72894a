"""Changed copies of values, be they Structs or dataclasses."""

import dataclasses
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

if TYPE_CHECKING:
    from dataclasses import replace  # of which type checkers know that it takes the fields of the value, of either kind
else:

    def replace(value: Any, /, **changes: Any) -> Any:  # noqa: ANN401 whatever its fields are
        """The same value with other fields, like `copy.replace` of Python 3.13."""
        return (structs.replace if isinstance(value, Struct) else dataclasses.replace)(value, **changes)


__all__ = ["replace"]
