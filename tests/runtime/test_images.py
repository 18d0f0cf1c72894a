"""Images: progress of a pull in bytes, every way it can fail in words, and what an image is by its content."""

from collections.abc import Iterator
from typing import Any, cast

import docker
import pytest
from docker.errors import NotFound

from provision.cluster.identity import Identity
from provision.errors import Interrupted, Unavailable
from provision.events import Event, Fetching
from provision.runtime.docker.images import identity_of, pull, tag


class _Engine:
    """The one call of the engine's API that is used."""

    def __init__(self, steps: list[dict[str, Any]], error: Exception | None = None) -> None:
        self.steps, self.error = steps, error
        self.asked: tuple[str, str | None] = ("", "")

    def pull(self, repository: str, tag: str | None, *, stream: bool, decode: bool) -> Iterator[dict[str, Any]]:
        assert stream
        assert decode
        self.asked = (repository, tag)
        if self.error:
            raise self.error
        return iter(self.steps)


def _pull(engine: _Engine, image: str) -> list[Event]:
    events: list[Event] = []
    pull(cast(docker.APIClient, engine), image, events.append)
    return events


def test_progress_adds_up_the_layers() -> None:
    def layer(name: str, status: str, current: int = 0, total: int = 0) -> dict[str, Any]:
        return {"id": name, "status": status, "progressDetail": {"current": current, "total": total} if total else {}}

    engine = _Engine(
        [
            {"status": "Pulling from apache/kafka", "id": "3.9.1"},
            layer("a", "Downloading", 10, 100),
            layer("b", "Downloading", 5, 50),
            layer("a", "Download complete"),
            layer("b", "Downloading", 50, 50),
            layer("b", "Extracting", 1, 999),
        ]
    )
    fetched = [event for event in _pull(engine, "apache/kafka:3.9.1") if isinstance(event, Fetching)]
    assert [(event.done, event.total) for event in fetched] == [
        (0, 0), (10, 100), (15, 150), (105, 150), (150, 150), (150, 150),
    ]  # fmt: skip
    assert engine.asked == ("apache/kafka", "3.9.1")


@pytest.mark.parametrize(
    ("image", "asked"),
    [
        ("apache/kafka", ("apache/kafka", "latest")),
        ("registry:5000/kafka", ("registry:5000/kafka", "latest")),
        ("registry:5000/kafka:3.9.1", ("registry:5000/kafka", "3.9.1")),
        ("apache/kafka@sha256:abc", ("apache/kafka", "sha256:abc")),
    ],
)
def test_tags_digests_and_ports_of_registries_are_told_apart(image: str, asked: tuple[str, str]) -> None:
    engine = _Engine([])
    _pull(engine, image)
    assert engine.asked == asked


@pytest.mark.parametrize(
    "engine",
    [
        _Engine([{"status": "Pulling"}, {"error": "manifest unknown"}]),
        _Engine([], NotFound("404", explanation="manifest unknown")),
    ],
)
def test_an_image_that_cannot_be_had_is_named_with_the_reason(engine: _Engine) -> None:
    with pytest.raises(Unavailable) as caught:
        _pull(engine, "apache/kafka:9.9.9")
    assert caught.value.what == "the image apache/kafka:9.9.9 is not on this engine and cannot be pulled"
    assert "manifest unknown" in caught.value.why
    assert "docker load" in caught.value.hint


def test_who_hears_of_it_may_end_it() -> None:
    def tell(_event: Event) -> None:
        raise Interrupted("enough")

    with pytest.raises(Interrupted, match="enough"):
        pull(cast(docker.APIClient, _Engine([{"status": "Pulling"}] * 2)), "apache/kafka:3.9.1", tell)


ID, A, B = (f"sha256:{digit * 64}" for digit in "0ab")


@pytest.mark.parametrize(
    ("name", "known", "digest"),
    [
        ("apache/kafka:3.9.1", [f"apache/kafka@{A}"], f"apache/kafka@{A}"),
        ("apache/kafka", [f"apache/kafka@{A}"], f"apache/kafka@{A}"),
        ("docker.io/apache/kafka:3.9.1", [f"apache/kafka@{A}"], f"docker.io/apache/kafka@{A}"),
        ("docker.io/library/kafka:1", [f"kafka@{A}"], f"docker.io/library/kafka@{A}"),
        ("registry:5000/kafka:1", [f"registry:5000/kafka@{A}"], f"registry:5000/kafka@{A}"),
        ("apache/kafka:3.9.1", [f"mirror.example/apache/kafka@{A}"], None),
        ("apache/kafka:3.9.1", [f"mirror.example/apache/kafka@{A}", f"apache/kafka@{B}"], f"apache/kafka@{B}"),
        ("apache/kafka:3.9.1", [f"apache/kafka@{B}", f"apache/kafka@{A}"], f"apache/kafka@{A}"),
        (f"apache/kafka@{B}", [f"apache/kafka@{A}", f"apache/kafka@{B}"], f"apache/kafka@{B}"),
        (f"apache/kafka:3.9.1@{B}", [f"apache/kafka@{B}"], f"apache/kafka@{B}"),
        ("own:1", [], None),
        ("own:1", None, None),
    ],
)
def test_an_image_is_its_id_and_its_digest_in_the_repository_that_is_named(
    name: str, known: list[str] | None, digest: str | None
) -> None:
    assert identity_of(name, {"Id": ID, "RepoDigests": known}) == Identity(ID, digest)


class _Tags:
    def __init__(self) -> None:
        self.made: list[tuple[str, str, str | None]] = []

    def tag(self, image: str, repository: str, tag: str | None) -> None:
        self.made.append((image, repository, tag))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("apache/kafka:3.9.1", [(f"apache/kafka@{A}", "apache/kafka", "3.9.1")]),
        ("registry:5000/kafka", [(f"apache/kafka@{A}", "registry:5000/kafka", "latest")]),
        (f"apache/kafka@{A}", []),
    ],
)
def test_what_came_by_its_digest_gets_the_name_that_is_asked_for(
    name: str, made: list[tuple[str, str, str | None]]
) -> None:
    tags = _Tags()
    tag(cast(docker.APIClient, tags), f"apache/kafka@{A}", name)
    assert tags.made == made
