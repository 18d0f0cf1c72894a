"""What to say of a path in an environment file that leads to nothing."""

AT_HOME = "write the whole path: ~ does not stand for your home directory here"
FROM_FILE = "a relative path starts at the directory of the file"


def where(written: str) -> str:
    """Why a path may lead elsewhere than its author thinks; `written` is how the file has it."""
    return AT_HOME if is_at_home(written) else FROM_FILE


def is_at_home(written: str) -> bool:
    """Whether a path begins with what a shell replaces by a home directory: `~`, or `~user`."""
    return written.startswith("~")
