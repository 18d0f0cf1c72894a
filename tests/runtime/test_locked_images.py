"""An image that is locked by its digest, between an engine and a registry: the same bytes come back, tag or no tag."""

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from docker.errors import ImageNotFound

from provision.errors import Unavailable
from provision.events import silent
from provision.runtime.docker.runtime import DockerRuntime
from tests.engine import engine
from tests.plan.world import cluster_of

pytestmark = [pytest.mark.engine, pytest.mark.row("apart")]

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


class Registry:
    """One that holds images of one small file in `tiny`, on a port of the loopback."""

    def __init__(self) -> None:
        self.content: dict[str, tuple[str, bytes]] = {}
        """Type and bytes by tag or digest."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, body = registry.content.get(self.path.rpartition("/")[2], ("", b"{}"))
                self.send_response(200 if kind or self.path == "/v2/" else 404)
                self.send_header("Content-Type", kind or "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 the library's name

            def log_message(self, *_arguments: object) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.repository = f"127.0.0.1:{self.server.server_port}/tiny"

    def push(self, tag: str, text: str) -> str:
        """Give the tag to an image with that text; returns its repository digest."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            file = tarfile.TarInfo("text")
            file.size = len(text)
            archive.addfile(file, io.BytesIO(text.encode()))
        diff = _digest(layer.getvalue())
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff]}}
        parts = [self._keep(_CONFIG, json.dumps(config).encode()), self._keep(_LAYER, layer.getvalue())]
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": parts[0], "layers": parts[1:]}
        kept = self._keep(_MANIFEST, json.dumps(manifest).encode())
        self.content[tag] = self.content[str(kept["digest"])]
        return f"{self.repository}@{kept['digest']}"

    def _keep(self, kind: str, body: bytes) -> dict[str, str | int]:
        digest = _digest(body)
        self.content[digest] = (kind, body)
        return {"mediaType": kind, "size": len(body), "digest": digest}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def registry() -> Iterator[Registry]:
    engine()
    made = Registry()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    for listed in engine().api.images(made.repository):
        for name in (*(listed["RepoTags"] or ()), *(listed["RepoDigests"] or ())):
            with suppress(ImageNotFound):
                engine().api.remove_image(name, force=True)


def test_the_locked_image_comes_back_when_its_tag_has_moved(registry: Registry) -> None:
    name = f"{registry.repository}:1"
    cluster = cluster_of(kafka={"image": name})
    runtime = DockerRuntime()
    digest = registry.push("1", "what is locked")
    runtime.fetch_software(cluster, name, silent)
    locked = runtime.identify_software(cluster)
    assert locked[name].digest == digest
    engine().api.remove_image(name, force=True)
    assert runtime.identify_software(cluster) == {}
    moved = registry.push("1", "what came later")
    runtime.fetch_software(cluster, name, silent, digest)
    assert runtime.identify_software(cluster) == locked
    engine().api.remove_image(name, force=True)
    runtime.fetch_software(cluster, name, silent)
    assert runtime.identify_software(cluster)[name].digest == moved


def test_a_digest_that_the_engine_has_needs_no_registry(registry: Registry) -> None:
    name = f"{registry.repository}:1"
    cluster = cluster_of(kafka={"image": name})
    runtime = DockerRuntime()
    digest = registry.push("1", "what is locked")
    runtime.fetch_software(cluster, name, silent)
    engine().api.tag(name, registry.repository, "kept")
    engine().api.remove_image(name, noprune=True)
    registry.content.clear()
    runtime.fetch_software(cluster, name, silent, digest)
    assert runtime.identify_software(cluster)[name].digest == digest


def test_a_digest_that_nobody_has_is_an_error_that_names_it(registry: Registry) -> None:
    name = f"{registry.repository}:1"
    cluster = cluster_of(kafka={"image": name})
    missing = f"{registry.repository}@sha256:{'0' * 64}"
    with pytest.raises(Unavailable, match=missing):
        DockerRuntime().fetch_software(cluster, name, silent, missing)
    assert DockerRuntime().identify_software(cluster) == {}
