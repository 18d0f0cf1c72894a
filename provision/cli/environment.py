"""Select the environment: `ENV` on the command line, `PROVISION_ENV`, or the only file there is."""

import os
from typing import TYPE_CHECKING

from provision.cli.output import tell_notices
from provision.errors import UsageError
from provision.events import Notice
from provision.spec.names import is_environment_name

if TYPE_CHECKING:
    from provision.environment import Environment
    from provision.events import Listener


def select(
    env: str | None,
    overrides: list[str] | None = None,
    tell: "Listener" = tell_notices,
    *,
    take_over: bool = False,
    user: str = "",
    listener: str = "",
    by_file: bool = False,
) -> "Environment":
    """Find the environment of `ENV`; `overrides` are the `--set` texts, `tell` receives the events.

    With `take_over`, it may have been made from another file. `user` is whom it gets into the cluster as,
    `listener` where. A file that is found stands for what it names, even if something else runs under the name of the
    file, if its description is what counts (`by_file`).

    Raises:
        UsageError: it is left out and there is not exactly one file, it is a path and there is no such file, or it is a
            name that several files have, or both an environment and the file of another one.
    """
    from provision.environment import Environment
    from provision.operations.finding import file_of, nothing_described, only_file

    chosen = os.environ.get("PROVISION_ENV") or None if env is None else env
    file = only_file() if chosen is None else file_of(chosen)
    try:
        found = (
            Environment.named(chosen or "", on_event=tell)
            if file is None
            else Environment(file, overrides=overrides or (), on_event=tell, take_over=take_over)
        )
    except UsageError as error:
        if file is not None:
            raise
        raise nothing_described(chosen or "") from error
    if file is not None and chosen and not by_file:
        found = _of_typed_name(chosen, found, tell) or found
    found.user, found.listener = user, listener
    return found


def _of_typed_name(chosen: str, described: "Environment", tell: "Listener") -> "Environment | None":
    """What is there under the name that was typed, if the file that is called so names another one; None otherwise.

    Raises:
        UsageError: it was made from another file, or what the file names is there as well.
    """
    from provision.environment import Environment
    from provision.operations.whose import about_it, other_origin

    name = described.name if described.has_valid_name else ""
    if name == chosen or described.external_servers or not is_environment_name(chosen):
        return None
    typed = Environment.named(chosen, on_event=tell)
    observed = typed.runtime.observe(chosen)
    if observed.is_absent:
        return None
    about = about_it(observed)
    names = f"{described.file} names {name or 'none that is valid'}"
    is_other = about is None or bool(other_origin(about, described.source))
    are_two = bool(name) and not described.runtime.observe(name).is_absent
    if (is_other and not described.take_over) or are_two:
        origin = f", made from {about.origin}" if about else ""
        path = f"the path {described.file} means {name}; " if name else ""
        hint = f"{path}for {chosen}, rename the file, or use another directory"
        if not are_two:
            hint += "; commands that change it also take --take-over"
        raise UsageError(f"{chosen!r} can mean 2 environments", why=f"{chosen} is there{origin}\n{names}", hint=hint)
    tell(Notice(f"{chosen} is there, and {names}: {chosen} is meant"))
    return typed


def select_described(
    env: str | None, overrides: list[str] | None, tell: "Listener", *, take_over: bool = False
) -> "Environment":
    """Find an environment by its file; arguments as for `select`.

    Raises:
        UsageError: there is none, or only an environment of that name.
    """
    environment = select(env, overrides, tell, take_over=take_over, by_file=True)
    if environment.file is None:
        from provision.operations.finding import nothing_described

        raise nothing_described(environment.name)
    return environment


def names_environment(word: str) -> bool:
    """Whether a word that may also be something else names an environment: by a file, or one that is there."""
    from provision.environment import Environment
    from provision.operations.finding import file_of, looks_like_path

    if looks_like_path(word) or file_of(word):
        return True
    return is_environment_name(word) and not Environment.named(word).runtime.observe(word).is_absent
