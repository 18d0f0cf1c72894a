"""The user's own certificates in an environment file: the authority that issues those of nodes and users."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, WithJsonSchema

from provision.common.whole_files import read_named
from provision.security.given import CERTIFICATE, KEY, BadAuthority, given_authority
from provision.spec.listeners import security_of
from provision.spec.places import where
from provision.spec.rules import Finding
from provision.spec.secret_files import others_can_read, path_of_secret
from provision.spec.section import Section

if TYPE_CHECKING:
    from provision.spec.model import EnvironmentSpec

LARGEST = 1024 * 1024
"""The largest file of a key or of certificates that is read, in bytes."""
# No message of these shows a value: it may be a key that is in the wrong place.


PemFile = Annotated[str, BeforeValidator(path_of_secret), WithJsonSchema({"type": "string", "minLength": 1})]


class AuthoritySpec(Section):
    """An authority of the user's own."""

    key: PemFile
    """The file of its private key, in PEM and without a password."""
    certificate: PemFile
    """The file of its certificate, in PEM, followed by those of its issuers, if it has any."""


class CertificatesSpec(Section):
    """Where certificates come from."""

    authority: AuthoritySpec
    """The authority that issues the certificates of nodes and users. Default: `up` makes one."""


def own_certificates(spec: "EnvironmentSpec", base_directory: Path) -> Iterator[Finding]:
    """Whether TLS needs the user's certificates, and what is wrong with the files; paths begin at `base_directory`."""
    if spec.certificates is None or spec.bootstrap_servers:  # that these do not go together is said elsewhere
        return
    security = security_of(spec)
    if not security.encrypted:
        message = f"with security: {security.name} there is no TLS, and nobody has a certificate"
        yield Finding(("certificates",), message, "remove it, or use tls, mtls or sasl-tls", at_key=True)
    yield from _authority(spec.certificates.authority, base_directory)


def _authority(authority: AuthoritySpec, base_directory: Path) -> Iterator[Finding]:
    named = {KEY: authority.key, CERTIFICATE: authority.certificate}
    contents: dict[str, bytes] = {}
    for name, file in named.items():
        place = base_directory / file
        try:
            contents[name] = read_named(place, LARGEST)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            hint = "name a file that can be read" if place.exists() else where(file)
            yield Finding(("certificates", "authority", name), f"{place} cannot be read: {why}", hint)
    if len(contents) < len(named):
        return
    try:
        given_authority(contents[KEY], contents[CERTIFICATE])
    except BadAuthority as error:
        message = f"{base_directory / named[error.file]} {error.reason}"
        yield Finding(("certificates", "authority", error.file), message, error.hint)
        return
    key = base_directory / named[KEY]
    if others_can_read(key):
        message = f"others can read {key}, and make certificates with it"
        yield Finding(("certificates", "authority", KEY), message, f"`chmod 600 {key}`", warning=True)
