"""Plain data to YAML text that `yaml_text` reads back as it was.

PyYAML writes for readers of YAML 1.1, where `1e3` is a text; environment files follow 1.2, where it is a number. A text
that is anything else under either of the two is quoted, so that other programs read it as a text as well.
"""

import datetime as dt
import math
import re
from typing import Any

import yaml

from provision.spec.yaml_text import means_no_text

# PyYAML would write these as they are, or as a line break, which readers do not all take for the same.
_ESCAPED = "[^\\x20-\\x7e\\xa1-\\u2027\\u202a-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 PyYAML's own signature
        """A list that occurs twice is written twice: an anchor would say that the two belong together."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = '"' if re.search(_ESCAPED, text) else "'" if means_no_text(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style=style)


def _number(dumper: yaml.SafeDumper, number: float) -> yaml.Node:
    if not math.isfinite(number):
        raise yaml.representer.RepresenterError(f"{number} is not finite")
    return dumper.represent_float(number)


def _whole_number(dumper: yaml.SafeDumper, number: int) -> yaml.Node:
    return dumper.represent_int(int(number))


_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(str, _text)
_Dumper.add_representer(float, _number)
_Dumper.add_multi_representer(int, _whole_number)
for _kind in (bytes, set, dt.date, dt.datetime):
    _Dumper.yaml_representers.pop(_kind, None)


def dump(value: object, *, compact: bool = False, ascii_only: bool = False) -> str:
    """The value as YAML text; `compact` puts lists of scalars and the innermost mappings on one line.

    With `ascii_only` all other characters are escaped.

    Raises:
        ValueError: it contains something that an environment file cannot say: a date, infinity, an object.
    """
    try:
        text: str = yaml.dump(
            value,
            Dumper=_Dumper,
            sort_keys=False,
            default_flow_style=None if compact else False,
            allow_unicode=not ascii_only,
            width=math.inf,
        )
    except yaml.representer.RepresenterError as error:
        raise ValueError(f"this cannot be written as YAML: {error}") from error
    return text.removesuffix("...\n")
