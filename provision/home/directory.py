"""The home directory: what must outlive a command and belongs to no runtime."""

import os
from pathlib import Path

import platformdirs


def home_directory() -> Path:
    """`PROVISION_HOME`, else the platform's directory for a user's state. It need not exist yet."""
    chosen = os.environ.get("PROVISION_HOME")
    home = Path(chosen) if chosen else platformdirs.user_state_path("provision", appauthor=False)
    return home.resolve()  # processes are found by this path: it must be the same from wherever it is named
