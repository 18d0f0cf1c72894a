"""Requests to a swarm's manager that the Docker SDK lacks, or makes harder than they are."""

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from docker.errors import APIError

from provision.common.patience import Patience

_HEADER_BYTES = 8
_PATIENCE_S = 10.0
_PAUSE_S = 0.05


def updated(api: Any, kind: str, identity: str, change: Callable[[dict[str, Any]], None]) -> None:  # noqa: ANN401 the SDK's client has no types
    """Change the specification of a service or config; again if somebody else has just changed it.

    Args:
        api: a manager.
        kind: `services` or `configs`; of a config, only labels can change.
        identity: its id.
        change: changes the specification in place.
    """
    patience = Patience(_PATIENCE_S)
    place = f"{api.base_url}/v{api.api_version}/{kind}/{identity}"
    while True:
        there = _answer(api.get(place, timeout=api.timeout))
        spec = there["Spec"]
        change(spec)
        params = {"version": there["Version"]["Index"]}
        try:
            _answer(api.post(f"{place}/update", params=params, json=spec, timeout=api.timeout))
        except APIError as error:
            if "out of sequence" not in str(error.explanation) or not patience.pause(_PAUSE_S):
                raise
        else:
            return


def _answer(response: Any) -> Any:  # noqa: ANN401 any JSON
    """What the engine answers.

    Raises:
        APIError: it refuses.
    """
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        try:
            explanation = response.json()["message"]
        except (ValueError, KeyError, TypeError):
            explanation = response.text
        raise APIError(f"{response.status_code}: {explanation}", response=response, explanation=str(explanation))
    return response.json() if response.content else None


def task_log(api: Any, task: str, *, tail: int | None = None, follow: bool = False) -> Iterator[bytes]:  # noqa: ANN401 as above
    """What a task has written to standard output and standard error, wherever it runs, in pieces."""
    params = {"stdout": "1", "stderr": "1", "tail": "all" if tail is None else str(tail), "follow": str(int(follow))}
    place = f"{api.base_url}/v{api.api_version}/tasks/{task}/logs"
    response = api.get(place, params=params, stream=True, timeout=None if follow else api.timeout)
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        _answer(response)
    try:
        yield from unframed(response.iter_content(None))
    finally:
        response.close()


def unframed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of a stream in which each piece has a header of eight bytes that ends with its length."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        while len(rest) >= _HEADER_BYTES:
            end = _HEADER_BYTES + int.from_bytes(rest[4:_HEADER_BYTES], "big")
            if len(rest) < end:
                break
            yield rest[_HEADER_BYTES:end]
            rest = rest[end:]


def labelled(*labels: str) -> Mapping[str, list[str]]:
    """The filter for things with these labels."""
    return {"label": list(labels)}
