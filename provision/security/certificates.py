"""Certificates: an authority for each environment, and what it issues to nodes and clients. PEM in and out, no I/O.

Sources: RFC 5280 (extensions), RFC 6125 (names), KIP-651 (PEM in Kafka: PKCS #8 keys, without a password here).
"""

import datetime as dt
import ipaddress
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec import Struct

from provision.common.clocks import now_s

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

# Clocks differ, so that a certificate is valid from some time before it was made.
_BEFORE = dt.timedelta(hours=1)
_AUTHORITY, _ISSUED = dt.timedelta(days=3650), dt.timedelta(days=825)
SOON_DAYS = 30
"""From so many days before their end on, certificates are made anew, or warned of."""
_RENEWED_BEFORE_END = dt.timedelta(days=SOON_DAYS)


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and its certificate, as PEM."""

    key: bytes = field(repr=False)
    certificate: bytes


class Subject(Struct, frozen=True):
    """Whom a certificate is for: a common name, and, of a server, the names and addresses by which it is reached."""

    common_name: str
    names: tuple[str, ...] = ()

    @property
    def is_server(self) -> bool:
        """Whether others connect to it."""
        return bool(self.names)


def make_authority(environment: str, now: dt.datetime | None = None) -> Pair:
    """A new authority for an environment; its certificate is signed by itself, and no other has its name."""
    key = _new_key()
    name = _name(f"provision {environment} {secrets.token_hex(4)}")
    now = now or _now()
    builder = _of_authority(key.public_key(), name, now, path_length=1)
    builder = builder.add_extension(_identifier_of(key.public_key()), critical=False)
    return _signed(builder.issuer_name(name).not_valid_after(now + _AUTHORITY), key, key)


def vouched(new: Pair, old: Pair, now: dt.datetime | None = None) -> bytes:
    """A certificate of a new authority, issued by the old one: whoever trusts that one trusts the new one by it."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    subject, issuer = (x509.load_pem_x509_certificate(one.certificate) for one in (new, old))
    now = now or _now()
    end = max(issuer.not_valid_after_utc, now)  # whoever trusts one that has ended is let down already
    builder = _of_authority(subject.public_key(), subject.subject, now, path_length=0)
    builder = builder.issuer_name(issuer.subject).not_valid_after(end)
    builder = builder.add_extension(_identifier(subject) or _identifier_of(subject.public_key()), critical=False)
    builder = builder.add_extension(_issuer_identifier(issuer), critical=False)
    return _certificate(builder, load_pem_private_key(old.key, None))


def can_vouch(authorities: bytes) -> bool:
    """Whether an authority may issue certificates of others; its own in PEM, followed by those of its issuers."""
    from cryptography import x509

    allowed = []
    for one in x509.load_pem_x509_certificates(authorities):
        basic = one.extensions.get_extension_for_class(x509.BasicConstraints).value
        allowed.append(basic.path_length)
    return all(length is None or length > below for below, length in enumerate(allowed))


def is_same_authority(one: bytes, other: bytes) -> bool:
    """Whether two certificates in PEM are of one authority: what it issues is good by either of them."""
    from cryptography import x509

    first, second = (x509.load_pem_x509_certificate(each) for each in (one, other))
    return first.subject == second.subject and first.public_key() == second.public_key()


def issue(authority: Pair, subject: Subject, now: dt.datetime | None = None, lasting: dt.timedelta = _ISSUED) -> Pair:
    """A new key, and a certificate for it valid for so long, at most as its authority's; all are good for a client."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import oid

    now = now or _now()
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    end = min(now + lasting, issuer.not_valid_after_utc)
    if end <= now:  # with an authority that has ended nothing is good, and nothing is made anew in vain
        end = now + lasting
    key, signer = _new_key(), load_pem_private_key(authority.key, None)
    uses = [
        oid.ExtendedKeyUsageOID.CLIENT_AUTH,
        *([oid.ExtendedKeyUsageOID.SERVER_AUTH] if subject.is_server else []),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject.common_name))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issuer_identifier(issuer), critical=False)
    )
    if subject.is_server:
        names = [_alternative(name) for name in subject.names]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _signed(builder, key, signer)


def is_whole(pair: Pair, *, any_kind: bool = False) -> bool:
    """Whether the certificate is that of the key, which is of the kind that is made here, or of any."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key, certificate = load_pem_private_key(pair.key, None), x509.load_pem_x509_certificate(pair.certificate)
        is_known = any_kind or isinstance(key, EllipticCurvePrivateKey)
        return is_known and key.public_key() == certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def is_good(pair: Pair, authority: Pair, subject: Subject, now: dt.datetime | None = None) -> bool:
    """Whether a certificate is still what would be issued: for that subject, by that authority, valid for a while."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        issuer = x509.load_pem_x509_certificate(authority.certificate)
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    ends = certificate.not_valid_after_utc
    if ends < issuer.not_valid_after_utc:  # else another one would end with its authority, too
        ends -= _RENEWED_BEFORE_END
    return (
        certificate.not_valid_before_utc <= (now or _now()) < ends
        and certificate.subject == _name(subject.common_name)
        and _names_its_issuer(certificate, issuer)
        and _names_in(certificate) == frozenset(subject.names)
    )


class Shown(Struct, frozen=True):
    """What a certificate says: for whom it is, who issued it, and from when until when it is valid (UTC)."""

    subject: str
    issuer: str
    begins: dt.datetime
    ends: dt.datetime
    names: tuple[str, ...] = ()

    def has_begun(self, now: dt.datetime | None = None) -> bool:
        """Whether it is valid already: it is not if a clock was wrong."""
        return self.begins <= (now or _now())

    def days_left(self, now: dt.datetime | None = None) -> int:
        """How many whole days it is still valid; negative if it is not any more."""
        return (self.ends - (now or _now())).days


def shown(certificates: bytes) -> list[Shown]:
    """What certificates in PEM say, in their order.

    Raises:
        ValueError: they are none.
    """
    from cryptography import x509

    return [
        Shown(
            _common_name(one.subject),
            _common_name(one.issuer),
            one.not_valid_before_utc,
            one.not_valid_after_utc,
            tuple(sorted(_names_in(one))),
        )
        for one in x509.load_pem_x509_certificates(certificates)
    ]


def parts(certificates: bytes) -> list[bytes]:
    """Certificates in PEM, each by itself."""
    begin = b"-----BEGIN CERTIFICATE-----"
    return [begin + one for one in certificates.split(begin)[1:]]


def _now() -> dt.datetime:
    return dt.datetime.fromtimestamp(now_s(), dt.UTC)  # nodes do not go by the clocks that tests stop


def _new_key() -> "EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str) -> "x509.Name":
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _common_name(name: "x509.Name") -> str:
    from cryptography import x509

    common = ", ".join(str(one.value) for one in name.get_attributes_for_oid(x509.NameOID.COMMON_NAME))
    return common or name.rfc4514_string()  # an authority of the user's own may have no common name


def _of_authority(
    public: "CertificatePublicKeyTypes", name: "x509.Name", now: dt.datetime, *, path_length: int
) -> "x509.CertificateBuilder":
    """An authority's certificate, without its issuer, its end and its identifiers."""
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )


def _alternative(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names_in(certificate: "x509.Certificate") -> Collection[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    return frozenset(str(name.value) for name in names)


def _usage(*, signs_certificates: bool) -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _identifier(certificate: "x509.Certificate") -> "x509.SubjectKeyIdentifier | None":
    """The identifier of its key, which it says; an authority of the user's own may have none, or any."""
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None


def _identifier_of(public: "CertificatePublicKeyTypes") -> "x509.SubjectKeyIdentifier":
    from cryptography import x509

    return x509.SubjectKeyIdentifier.from_public_key(public)


def _issuer_identifier(issuer: "x509.Certificate") -> "x509.AuthorityKeyIdentifier":
    """By which of its keys an authority issues, in the words of its own certificate, so that the two are matched."""
    from cryptography import x509

    identifier = _identifier(issuer) or _identifier_of(issuer.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _names_its_issuer(certificate: "x509.Certificate", issuer: "x509.Certificate") -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value == _issuer_identifier(
            issuer
        )
    except (x509.ExtensionNotFound, ValueError):
        return False


def _signed(builder: "x509.CertificateBuilder", key: "EllipticCurvePrivateKey", signer: object) -> Pair:
    from cryptography.hazmat.primitives import serialization

    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(private, _certificate(builder, signer))


def _certificate(builder: "x509.CertificateBuilder", signer: object) -> bytes:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if not isinstance(signer, EllipticCurvePrivateKey | RSAPrivateKey):
        raise ValueError("the authority's key is of another kind than this program takes")  # noqa: TRY004 damaged data
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
