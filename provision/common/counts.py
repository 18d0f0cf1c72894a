"""Numbers of things in words."""


def plural(what: str, count: int) -> str:
    """`broker`, or `brokers` unless it is one."""
    return what if count == 1 else f"{what}s"


def counted(what: str, count: int) -> str:
    """`1 broker`, `3 brokers`."""
    return f"{count} {plural(what, count)}"
