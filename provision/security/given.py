"""An authority of the user's own: read from what is in its files, and checked to be one that can be used. No I/O.

Sources: RFC 5280 (basic constraints, key usage, name constraints); `java.security`, whose disabled algorithms rule out
short RSA keys.
"""

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from provision.security.certificates import Pair, is_whole, parts

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

KEY, CERTIFICATE = "key", "certificate"
"""The two files."""
_FEWEST_BITS = 2048


class BadAuthority(ValueError):
    """What is wrong with one of the two files, in words that begin with a verb, and what to do about it.

    No message has anything of a key.
    """

    def __init__(self, file: str, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.file, self.reason, self.hint = file, reason, hint


@dataclass(frozen=True, slots=True)
class GivenAuthority:
    """A key with its certificate, and, if it is none that is signed by itself, the certificates above it, up to one."""

    pair: Pair
    issuers: bytes = b""


def given_authority(key: bytes, certificates: bytes, now: dt.datetime | None = None) -> GivenAuthority:
    """The authority in two files in PEM: its private key; its certificate, then those of its issuers.

    Raises:
        BadAuthority: nodes could not use it, or clients would not trust what it issues.
    """
    _require_key(key)
    chain = _certificates(certificates)
    now = now or dt.datetime.now(dt.UTC)
    for below, one in enumerate(chain):
        _require_authority(one, now, below)
    for issued, issuer in pairwise(chain):
        _require_issued(issued, issuer)
    _require_issued(chain[-1], chain[-1])
    own, *above = [part[: part.index(_END) + len(_END)] + b"\n" for part in parts(certificates)]
    pair = Pair(key, own)
    if not is_whole(pair, any_kind=True):
        hint = "name the two files of the same authority; its own certificate comes first"
        raise BadAuthority(KEY, "is not the key of the certificate", hint)
    return GivenAuthority(pair, b"".join(above))


_END = b"-----END CERTIFICATE-----"


def _require_key(content: bytes) -> None:
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
    _require_kind(key)


def _require_kind(key: "PrivateKeyTypes") -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    hint = (
        f"use an authority with an RSA key of at least {_FEWEST_BITS} bits, or one on the curve P-256, P-384 or P-521"
    )
    if isinstance(key, RSAPrivateKey):
        if key.key_size < _FEWEST_BITS:
            raise BadAuthority(KEY, f"has only {key.key_size} bits", hint)
    elif not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1 | SECP384R1 | SECP521R1):
        raise BadAuthority(KEY, "is of a kind that not every client knows", hint)


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

    who = f"the certificate {one.subject.rfc4514_string()!r}"
    if now < one.not_valid_before_utc:
        when = f"{one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise BadAuthority(
            CERTIFICATE, f"is not valid yet: {who} begins on {when}", "or is this machine's clock wrong?"
        )
    if now >= one.not_valid_after_utc:
        when = f"{one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise BadAuthority(CERTIFICATE, f"is not valid any more: {who} ended on {when}", "name a newer one")
    hint = "name the certificate of an authority"
    try:
        extensions = one.extensions
    except ValueError as error:
        raise BadAuthority(CERTIFICATE, f"cannot be read: {who} has damaged extensions", hint) from error
    found = {extension.oid: extension.value for extension in extensions}
    basic = found.get(x509.BasicConstraints.oid)
    usage = found.get(x509.KeyUsage.oid)
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


def _require_issued(issued: "x509.Certificate", issuer: "x509.Certificate") -> None:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        what = (
            f"ends in the middle: {issued.subject.rfc4514_string()!r} is issued by {issued.issuer.rfc4514_string()!r}"
        )
        hint = "append the certificates of its issuers, each after the one that it has issued, up to the root"
        raise BadAuthority(CERTIFICATE, f"{what}, which does not follow", hint) from error
