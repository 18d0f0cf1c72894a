"""Authorities as somebody else makes them, and their files."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
CURVE = ec.SECP256R1()
SHA1 = b"sha-1"
"""The identifier that is made of the key, as most tools do."""
Key = Any


@dataclass(frozen=True)
class Made:
    """An authority as somebody else makes it: its key, and its certificate followed by those of its issuers."""

    key: Key
    chain: tuple[x509.Certificate, ...]

    def pem(self, protected: KeySerializationEncryption | None = None) -> bytes:
        """Its key."""
        return bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protected or NoEncryption()))

    @property
    def certificates(self) -> bytes:
        """In the order of the file."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)

    @property
    def identifier(self) -> x509.SubjectKeyIdentifier | None:
        """What its certificate says of its key."""
        try:
            return self.chain[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return None

    def write(self, directory: Path, name: str = "ca") -> dict[str, dict[str, str]]:
        """Its files, and the section that names them."""
        directory.mkdir(parents=True, exist_ok=True)
        files = {"key": directory / f"{name}.key", "certificate": directory / f"{name}.pem"}
        files["key"].touch(0o600)
        files["key"].write_bytes(self.pem())
        files["certificate"].write_bytes(self.certificates)
        return {"authority": {what: str(file) for what, file in files.items()}}


def made(  # noqa: PLR0913 what is different with it
    name: str | x509.Name = "house",
    *,
    key: Key = None,
    issuer: Made | None = None,
    length: int | None = None,
    begins: dt.datetime = NOW - DAY,
    ends: dt.datetime = NOW + 900 * DAY,
    is_authority: bool = True,
    more: tuple[x509.ExtensionType, ...] = (),
    identifier: bytes = b"",
) -> Made:
    """An authority with a certificate like `openssl req -x509` makes; without an identifier unless it is given one."""
    own = key or ec.generate_private_key(CURVE)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) if isinstance(name, str) else name
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.chain[0].subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=length), critical=True)
    )
    for extension in more:
        builder = builder.add_extension(extension, critical=True)
    if identifier:
        of_key = x509.SubjectKeyIdentifier.from_public_key(own.public_key())
        said = of_key if identifier == SHA1 else x509.SubjectKeyIdentifier(identifier)
        builder = builder.add_extension(said, critical=False)
        above = issuer.identifier if issuer else said
        if above:
            of_issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above)
            builder = builder.add_extension(of_issuer, critical=False)
    signer = issuer.key if issuer else own
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Made(own, (builder.sign(signer, algorithm), *(issuer.chain if issuer else ())))
