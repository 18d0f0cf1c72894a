"""What the shell offers for a word: environments, nodes, topics, tools.

It never says anything itself, and does not keep the user waiting: what cannot be found out in a moment is not offered.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from provision.errors import UsageError

if TYPE_CHECKING:
    from provision.environment import Environment

_LONGEST_S = 2.0
_SAFE = re.compile(r"[\w.-]+")
"""What no shell takes for more than a word: zsh evaluates what it is offered, and files may be called anything."""
_INSTALL, _SHOW = "--install-completion", "--show-completion"
_DEFINED = "compdef _provision_completion provision"
_DEFINED_OR_LOADED = f"""\
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _provision_completion "$@"
else
  {_DEFINED}
fi"""
Find = Callable[[], Iterable[str]]


def environments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of files and of what is there; and, where `ENV` may be left out, what may stand in its place."""
    instead = _INSTEAD_OF_ENV.get(ctx.info_name or "")
    return _offered(incomplete, _files, _there, *([lambda: instead(None)] if instead else []))


def nodes(ctx: typer.Context, incomplete: str) -> list[str]:
    """The nodes of the environment."""
    return _offered(incomplete, lambda: _nodes(ctx.params.get("env")))


def topics(ctx: typer.Context, incomplete: str) -> list[str]:
    """The topics of the environment."""
    return _offered(incomplete, lambda: _topics(ctx.params.get("env")))


def tools(incomplete: str) -> list[str]:
    """The tools of any Kafka."""
    return _offered(incomplete, lambda: _tools(None))


@contextmanager
def installation(arguments: Sequence[str]) -> Iterator[None]:
    """While typer installs completion, or shows it.

    Its script for zsh only defines the completion when it is loaded, which is at the first Tab of a session: that one
    would complete nothing.

    Raises:
        UsageError: a shell is named, which typer would ignore.
    """
    option, *more = arguments or [""]
    if option in (_INSTALL, _SHOW) and more:
        raise UsageError(f"{option} is for the shell in which it runs", hint=f"run `provision {option}` in that shell")
    try:
        yield
    finally:
        script = Path("~/.zfunc/_provision").expanduser()
        if option == _INSTALL and script.is_file():
            text = script.read_text()
            if text.endswith(_DEFINED):
                script.write_text(text.removesuffix(_DEFINED) + _DEFINED_OR_LOADED + "\n")


def _offered(incomplete: str, *finds: Find) -> list[str]:
    """What begins like that and was found in time, each in a daemon thread, which the end does not wait for."""
    found: list[str] = []

    def search(find: Find) -> None:
        try:
            found.extend(find())
        except Exception:  # noqa: BLE001 whatever it is, a completion is not the place to say it
            return

    threads = [threading.Thread(target=search, args=(find,), daemon=True) for find in finds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LONGEST_S)
    return sorted({name for name in list(found) if name.startswith(incomplete) and _SAFE.fullmatch(name)})


def _selected(env: str | None) -> "Environment":
    from provision.cli.environment import select
    from provision.events import silent

    return select(env, tell=silent)


def _files() -> Iterable[str]:
    from provision.operations.finding import files

    return [file.stem for file in files()]


def _there() -> Iterable[str]:
    from provision.environment import Environment

    return [environment.name for environment in Environment.all()]


def _nodes(env: str | None) -> Iterable[str]:
    return [node.name for node in _selected(env).observe().nodes]


def _topics(env: str | None) -> Iterable[str]:
    return [topic.name for topic in _selected(env).topics()]


def _tools(_env: str | None) -> Iterable[str]:
    from provision.catalogue.versions import RELEASES

    return {tool for release in RELEASES for tool in release.tools}


_INSTEAD_OF_ENV: dict[str, Callable[[str | None], Iterable[str]]] = {
    **dict.fromkeys(("stop", "start", "restart", "logs"), _nodes),
    **dict.fromkeys(("produce", "consume", "describe", "delete", "apply"), _topics),
    "tool": _tools,
}
