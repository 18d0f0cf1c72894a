"""Which of a command's words is `ENV`, where it may be left out before other words.

`ENV` is left out where the words leave no doubt:

- Before one `TOPIC` or tool, the number of words says it: `produce orders`, `produce dev orders`.
- Before nodes, their form says it: `stop broker-1`. An environment of such a name is given as a path.
- Before several topics, the first word is `ENV` if it is a path, or the name of a file or of an environment that is
  there. If only one word is given and one topic is needed, that is the topic.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from provision.errors import UsageError

_NODE = re.compile(r"(?:zookeeper|controller|broker)-[1-9][0-9]*")
Words = tuple[str | None, list[str]]
"""`ENV`, or None where it is left out, and the other words."""


def env_and_one(env: str | None, word: str | None, called: str) -> tuple[str | None, str]:
    """`[ENV] WORD`.

    Args:
        env: the first word, if any.
        word: the second.
        called: what the word is, for the message.

    Raises:
        UsageError: there is no word.
    """
    given = [one for one in (env, word) if one is not None]
    if not given:
        raise UsageError(f"missing {called}")
    return (given[0] if len(given) > 1 else None), given[-1]


def env_and_nodes(env: str | None, nodes: Sequence[str] | None) -> Words:
    """`[ENV] [NODE...]`."""
    if env is not None and _NODE.fullmatch(env):
        return None, _once([env, *(nodes or ())])
    return env, _once(nodes or ())


def env_and_topics(
    env: str | None, topics: Sequence[str] | None, is_env: Callable[[str], bool], *, at_least: int
) -> Words:
    """`[ENV] TOPIC...`, or with `at_least=0` `[ENV] [TOPIC...]`.

    Raises:
        UsageError: there are fewer topics.
    """
    given = [one for one in (env, *(topics or ())) if one is not None]
    if len(given) < at_least:
        raise UsageError("missing TOPIC")
    if len(given) > at_least and is_env(given[0]):
        return given[0], _once(given[1:])
    return None, _once(given)


def _once(names: Iterable[str]) -> list[str]:
    """Each name once: what is named twice is meant once."""
    return list(dict.fromkeys(names))


def env_and_tool(env: str | None, name: str | None, arguments: Sequence[str] | None, tools: frozenset[str]) -> Words:
    """`[ENV] NAME [ARGS...]`: the first word is the tool if it is called like one, or nothing but arguments follows.

    Raises:
        UsageError: there is no name.
    """
    if env is None:
        raise UsageError("missing NAME", hint="for example kafka-topics")
    if env.removesuffix(".sh") in tools or name is None or name.startswith("-"):
        return None, [env, *([] if name is None else [name]), *(arguments or ())]
    return env, [name, *(arguments or ())]
