"""Which engine `docker` itself would talk to, from the same variables and files.

`DOCKER_HOST` comes first, then the context named by `DOCKER_CONTEXT`, then the current one of `config.json`, then the
default address. Source: github.com/docker/cli, `cli/command/cli.go` and `opts/hosts.go`.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from docker.constants import DEFAULT_NPIPE, IS_WINDOWS_PLATFORM
from docker.tls import TLSConfig
from msgspec import Struct

from provision.common.whole_files import read_whole
from provision.errors import Unavailable

HOST, CONTEXT, CONFIG = "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"
TLS, TLS_VERIFY, CERTIFICATES = "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"
DEFAULT_CONTEXT = "default"
DEFAULT_SOCKET = "/var/run/docker.sock"

_DEFAULT = DEFAULT_NPIPE if IS_WINDOWS_PLATFORM else f"unix://{DEFAULT_SOCKET}"
_PORT, _TLS_PORT = 2375, 2376
_HOST_NAME = re.compile(r"[\w.\-:%]*")


class Engine(Struct, frozen=True):
    """An engine's address, as `unix://PATH`, `npipe://PATH` or `tcp://HOST:PORT`, and how its connection is encrypted.

    `named_by` is what names it, for messages: a variable or a file; empty for the default address.
    """

    address: str
    named_by: str = ""
    tls: TLSConfig | None = None

    @property
    def socket(self) -> str:
        """The path of its Unix socket; empty if it is reached otherwise."""
        return self.address.removeprefix("unix://") if self.address.startswith("unix://") else ""

    @property
    def tcp(self) -> tuple[str, int] | None:
        """Its host and port; None if it is reached otherwise."""
        parts = urlsplit(self.address)
        return (parts.hostname or "", parts.port or 0) if parts.scheme == "tcp" else None

    @property
    def is_loopback(self) -> bool:
        """Whether its address is one of this machine's own, to which `docker` never uses a proxy."""
        host = self.tcp[0] if self.tcp else "localhost"
        try:
            return ip_address(host).is_loopback
        except ValueError:  # a name
            return host == "localhost"

    def __str__(self) -> str:
        return f"{self.address} ({self.named_by})" if self.named_by else self.address


def chosen_engine() -> Engine:
    """The engine that `docker` would use, according to this process's environment variables and the user's files.

    Raises:
        Unavailable: a variable or a context is not valid; names it.
    """
    if host := os.environ.get(HOST, ""):
        return _at(host.strip(), HOST, _tls_of_variables())
    name, named_by = os.environ.get(CONTEXT, ""), CONTEXT
    if not name:
        file = _configuration() / "config.json"
        name, named_by = _current_context(file), f"currentContext in {file}"
    if name in ("", DEFAULT_CONTEXT):
        return Engine(_DEFAULT)
    return _of_context(name, named_by)


def engine_at(written: str, named_by: str) -> Engine:
    """The engine at an address, with the certificates that the user's variables name.

    Raises:
        Unavailable: it is no address of an engine.
    """
    return _at(written, named_by, _tls_of_variables())


def _configuration() -> Path:
    """The user's directory for `docker`; it need not exist."""
    return Path(os.environ.get(CONFIG) or os.path.expanduser("~/.docker"))  # noqa: PTH111 never fails, even without HOME


def _current_context(file: Path) -> str:
    """Like `docker`, which warns of it, this ignores a file that cannot be read."""
    try:
        name = _read(file).get("currentContext", "")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    return name if isinstance(name, str) else ""


def _read(file: Path) -> Any:  # noqa: ANN401 any JSON
    """What a file of the user's `docker` says. It may be a link, as dotfiles often are; by mistake, it is anything."""
    return json.loads(read_whole(Path(os.path.realpath(file))))


def _of_context(name: str, named_by: str) -> Engine:
    identity, contexts = (
        hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest(),
        _configuration() / "contexts",
    )
    file = contexts / "meta" / identity / "meta.json"
    correct = f"`docker context ls` lists them; correct or remove {named_by}"
    try:
        endpoint: Mapping[str, Any] = _read(file)["Endpoints"]["docker"]
        host, unverified = endpoint.get("Host", "").strip(), bool(endpoint.get("SkipTLSVerify"))
    except FileNotFoundError as error:
        raise Unavailable(f"there is no Docker context {name!r}", why=f"{named_by} names it", hint=correct) from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = f"{named_by} names it, and {file} is not valid: {error}"
        raise Unavailable(f"the Docker context {name!r} cannot be read", why=why, hint=correct) from error
    return _at(host, f"context {name!r}, {named_by}", _tls_in(contexts / "tls" / identity / "docker", not unverified))


def _tls_of_variables() -> TLSConfig | None:
    verify = bool(os.environ.get(TLS_VERIFY))
    if not verify and not os.environ.get(TLS):
        return None
    directory = Path(os.environ.get(CERTIFICATES) or _configuration())
    return _tls_in(directory, verify) or TLSConfig(verify=verify)


def _tls_in(directory: Path, verify: bool) -> TLSConfig | None:
    """What a directory has of `ca.pem`, `cert.pem` and `key.pem`; None if that is nothing."""
    authority, certificate, key = (directory / f"{part}.pem" for part in ("ca", "cert", "key"))
    if not any(file.is_file() for file in (authority, certificate, key)):
        return None
    return TLSConfig(
        client_cert=(str(certificate), str(key)) if certificate.is_file() or key.is_file() else None,
        ca_cert=str(authority) if authority.is_file() else None,
        verify=verify,
    )


def _at(written: str, named_by: str, tls: TLSConfig | None) -> Engine:
    """The engine at an address as users write it: what it leaves out is filled in like `docker` does."""
    if not written:
        return Engine(_DEFAULT, named_by)
    scheme, separator, rest = written.partition("://")
    if not separator:
        scheme, rest = "tcp", written
    match scheme:
        case "unix":
            return Engine(f"unix://{Path(rest or DEFAULT_SOCKET).absolute()}", named_by)
        case "npipe":
            return Engine(written, named_by)
        case "tcp":
            return Engine(_tcp(rest, written, named_by, _TLS_PORT if tls else _PORT), named_by, tls)
        case "ssh":
            raise Unavailable(
                f"an engine reached by SSH is not supported: {written} ({named_by})",
                why="nodes publish their ports on 127.0.0.1 of the engine's machine, which this machine cannot reach",
                hint="run provision on that machine, or choose another engine with DOCKER_HOST or DOCKER_CONTEXT",
            )
    raise _malformed(written, named_by)


def _tcp(rest: str, written: str, named_by: str, default_port: int) -> str:
    try:
        parts: SplitResult = urlsplit(f"//{rest}")
        host, port = parts.hostname or "localhost", default_port if parts.port is None else parts.port
    except ValueError as error:
        raise _malformed(written, named_by) from error
    if not port or parts.query or parts.fragment or parts.username or not _HOST_NAME.fullmatch(host):
        raise _malformed(written, named_by)
    return f"tcp://{f'[{host}]' if ':' in host else host}:{port}{parts.path.rstrip('/')}"


def _malformed(written: str, named_by: str) -> Unavailable:
    return Unavailable(
        f"{written!r} is not the address of a Docker engine",
        why=f"{named_by} gives it",
        hint="write it as unix:///var/run/docker.sock or tcp://HOST:PORT",
    )
