"""An authority of the user's own: read from what is in its files, and checked to be one that can be used. No I/O.

Sources: RFC 5280 (basic constraints, key usage, name constraints); `java.security`, whose disabled algorithms rule out
short RSA keys; OpenSSL's `x509_vfy.c`, which rules out old signatures below the root, and what an authority may not
issue for TLS.
"""

import datetime as dt
from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import Struct

from provision.common.clocks import now_s
from provision.security.certificates import Pair

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

KEY, CERTIFICATE = "key", "certificate"
"""The two files."""
_FEWEST_BITS = 2048
_OLD_HASHES = ("md5", "sha1")


class BadAuthority(ValueError):
    """What is wrong with one of the two files, in words that begin with a verb, and what to do about it.

    No message has anything of a key.
    """

    def __init__(self, file: str, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.file, self.reason, self.hint = file, reason, hint


class GivenAuthority(Struct, frozen=True):
    """A key with its certificate, and, if it is none that is signed by itself, the certificates above it, up to one."""

    pair: Pair
    issuers: bytes = b""


def given_authority(key: bytes, certificates: bytes, now: dt.datetime | None = None) -> GivenAuthority:
    """The authority in two files in PEM: its private key; its certificate, then those of its issuers.

    Both are written anew: what else is in the files, such as remarks or other ends of lines, is left out.

    Raises:
        BadAuthority: nodes could not use it, or clients would not trust what it issues.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = _private_key(key)
    chain = _certificates(certificates)
    now = now or dt.datetime.fromtimestamp(now_s(), dt.UTC)
    for below, one in enumerate(chain):
        _require_authority(one, now, below)
    for issued, issuer in pairwise(chain):
        _require_issued(issued, issuer)
    _require_issued(chain[-1], chain[-1])
    if private.public_key() != chain[0].public_key():
        hint = "name the two files of the same authority; its own certificate comes first"
        raise BadAuthority(KEY, "is not the key of the certificate", hint)
    own, *above = [one.public_bytes(Encoding.PEM) for one in chain]
    written = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return GivenAuthority(Pair(written, own), b"".join(above))


def _private_key(content: bytes) -> "PrivateKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(content, None)
    except TypeError as error:
        hint = "`openssl pkey -in FILE -out NEW` writes one without it, which only you should be able to read"
        raise BadAuthority(KEY, "is protected by a password, which `up` does not know", hint) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "it begins with -----BEGIN PRIVATE KEY-----"
        raise BadAuthority(KEY, "has no private key in PEM that can be read", hint) from error
    if weakness := _weakness(key.public_key()):
        raise BadAuthority(KEY, weakness, _GOOD_KEYS)
    return key


_GOOD_KEYS = (
    f"use an authority with an RSA key of at least {_FEWEST_BITS} bits, or one on the curve P-256, P-384 or P-521"
)


def _weakness(key: object) -> str:
    """Why not every client takes what is signed with the key of this public key; empty if each does."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey):
        return f"has only {key.key_size} bits" if key.key_size < _FEWEST_BITS else ""
    known = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1 | SECP384R1 | SECP521R1)
    return "" if known else "is of a kind that not every client knows"


def _certificates(content: bytes) -> "list[x509.Certificate]":
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        hint = "it begins with -----BEGIN CERTIFICATE-----"
        raise BadAuthority(CERTIFICATE, "has no certificates in PEM that can be read", hint) from error


def _require_authority(one: "x509.Certificate", now: dt.datetime, below: int) -> None:
    """That a certificate is one of an authority with so many others below it, and valid."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    hint = "name the certificate of an authority"
    try:
        who = f"the certificate {one.subject.rfc4514_string()!r}"
        extensions, key = list(one.extensions), one.public_key()
        signed_by_itself, algorithm = one.subject == one.issuer, one.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        which = f"certificate {below + 1} in it is damaged, or has something in it that is not known"
        raise BadAuthority(CERTIFICATE, f"cannot be read: {which}", hint) from error
    _require_valid(one, who, now)
    if weakness := _weakness(key):
        raise BadAuthority(CERTIFICATE, f"cannot be used: the key of {who} {weakness}", _GOOD_KEYS)
    if not signed_by_itself and algorithm and algorithm.name in _OLD_HASHES:
        what = f"cannot be used: {who} is signed with {algorithm.name.upper()}, which clients refuse"
        raise BadAuthority(CERTIFICATE, what, "have it issued anew with SHA-256")
    _require_usable(extensions, who, below, hint)


def _require_valid(one: "x509.Certificate", who: str, now: dt.datetime) -> None:
    if now < one.not_valid_before_utc:
        when = f"{one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        what = f"is not valid yet: {who} begins on {when}"
        raise BadAuthority(CERTIFICATE, what, "or is this machine's clock wrong?")
    if now >= one.not_valid_after_utc:
        when = f"{one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise BadAuthority(CERTIFICATE, f"is not valid any more: {who} ended on {when}", "name a newer one")


def _require_usable(extensions: "list[x509.Extension[x509.ExtensionType]]", who: str, below: int, hint: str) -> None:
    """That nothing in a certificate keeps it from issuing those of nodes and clients."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    found = {extension.oid: extension.value for extension in extensions}
    basic, usage = found.get(x509.BasicConstraints.oid), found.get(x509.KeyUsage.oid)
    if not isinstance(basic, x509.BasicConstraints) or not basic.ca:
        raise BadAuthority(CERTIFICATE, f"is none of an authority: {who} may issue no others (basic constraints)", hint)
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        raise BadAuthority(CERTIFICATE, f"is none of an authority: {who} may issue no others (key usage)", hint)
    if basic.path_length is not None and basic.path_length < below:
        what = f"is of no use: {who} allows {basic.path_length} authorities below it, and there are {below}"
        raise BadAuthority(CERTIFICATE, what, hint)
    if x509.NameConstraints.oid in found:
        what = f"has limits on names: {who} could forbid localhost, 127.0.0.1 and the names of nodes (name constraints)"
        raise BadAuthority(CERTIFICATE, what, "name one without name constraints")
    uses = found.get(x509.ExtendedKeyUsage.oid)
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    if isinstance(uses, x509.ExtendedKeyUsage) and not both <= set(uses):
        what = f"is of no use: {who} is not for TLS servers and clients (extended key usage)"
        raise BadAuthority(CERTIFICATE, what, "name one without an extended key usage")
    known = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.CertificatePolicies)
    if strange := [one.oid.dotted_string for one in extensions if one.critical and not isinstance(one.value, known)]:
        what = f"cannot be used: {who} has a critical extension that not every client knows ({strange[0]})"
        raise BadAuthority(CERTIFICATE, what, "name one without it")


def _require_issued(issued: "x509.Certificate", issuer: "x509.Certificate") -> None:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        who = repr(issued.subject.rfc4514_string())
        if issued.subject == issued.issuer and issued is not issuer:
            what = f"is in the wrong order, or has more after the root: {who} is issued by itself, and is not the last"
        else:
            what = f"ends in the middle: {who} is issued by {issued.issuer.rfc4514_string()!r}, which does not follow"
        hint = "append the certificates of its issuers, each after the one that it has issued, up to the root"
        raise BadAuthority(CERTIFICATE, what, hint) from error
