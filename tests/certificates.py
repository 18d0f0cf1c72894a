"""Certificates for tests that speak TLS, made with `openssl`."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_OF_AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
_OF_SERVER = (
    "basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    "extendedKeyUsage=serverAuth\nsubjectAltName={names}\n"
)
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Authority:
    """One that issues certificates; `directory` is all its own."""

    directory: Path

    @property
    def ca(self) -> str:
        """The PEM file by which it is trusted."""
        return str(self.directory / "ca.pem")

    def issue(self, *names: str) -> str:
        """A PEM file with a key and its certificate for a server, good for names as `DNS:localhost`."""
        extensions = _OF_SERVER.format(names=",".join(names))
        self._make("server", extensions, "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "2")
        store = self.directory / "server.store.pem"
        store.write_text("".join((self.directory / f"server.{part}").read_text() for part in ("key", "pem")))
        return str(store)

    def _make(self, what: str, extensions: str, *signed: str) -> None:
        (self.directory / f"{what}.extensions").write_text(extensions)
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{what}.key")
        self._openssl("req", "-new", *key, "-subj", f"/CN={self.directory.name} {what}", "-out", f"{what}.request")
        source = ("-in", f"{what}.request", "-extfile", f"{what}.extensions")
        self._openssl("x509", "-req", *source, "-days", "2", "-out", f"{what}.pem", *signed)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(
            [_openssl(), *arguments], cwd=self.directory, check=True, capture_output=True, timeout=_TIMEOUT_S
        )

    @classmethod
    def at(cls, directory: Path) -> "Authority":
        """A new one; without `openssl` the test is skipped, or fails where everything is required (in CI)."""
        authority = cls(directory)
        directory.mkdir(parents=True)
        authority._make("ca", _OF_AUTHORITY, "-signkey", "ca.key")
        return authority


def _openssl() -> str:
    command = shutil.which("openssl")
    if command is None:
        if os.environ.get("PROVISION_TEST_REQUIRE_ENGINE"):
            pytest.fail("openssl is required here")
        pytest.skip("there is no openssl")
    return command
