"""Processes that Ctrl-C in this terminal does not reach."""

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

if sys.platform == "win32":
    _FLAGS = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    OUT_OF_REACH: Mapping[str, Any] = {"creationflags": _FLAGS}
else:
    OUT_OF_REACH: Mapping[str, Any] = {"start_new_session": True}
"""Options with which `subprocess` starts them."""
