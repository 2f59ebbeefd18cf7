"""A certificate authority of our own, and the server certificates that it signs.

Separate because it is pure (the clock is an argument) and the only place that knows X.509. Called by
`reports.certificates`. All keys are ECDSA P-256; what is made passes the strict checks of Python 3.13 and Go.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = 86400.0
AUTHORITY_SECONDS = 3650 * DAY
SERVER_SECONDS = 365 * DAY
RENEW_SECONDS = 30 * DAY
"""Before its end a server's certificate is made anew; an authority a year and as much before its own."""
_CLOCKS_DIFFER = timedelta(hours=1)
_UNUSABLE = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes


def new_authority(*, now: float) -> Pair:
    """A self-signed authority that signs servers and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Trainyard status server CA")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(name, key, issuer=name, now=now, until=now + AUTHORITY_SECONDS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def new_server(authority: Pair, *, host: str, now: float) -> Pair:
    """A certificate for `host`, a name or an address; it never outlives its authority."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = _private_key(authority.key)
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + SERVER_SECONDS, issuer.not_valid_after_utc.timestamp())
    # NB: a common name has 64 characters at most; clients look at the alternative name only.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Trainyard status server")])
    certificate = (
        _builder(name, key, issuer=issuer.subject, now=now, until=until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def authority_is_good(pair: Pair, *, now: float) -> bool:
    """Whether it can sign a server's certificate of full length."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        same = certificate.public_key() == _private_key(pair.key).public_key()
    except (*_UNUSABLE, x509.ExtensionNotFound):
        return False
    left = certificate.not_valid_after_utc.timestamp() - now
    return constraints.value.ca and same and left > SERVER_SECONDS + RENEW_SECONDS


def server_is_good(pair: Pair, *, authority: Pair, host: str, now: float) -> bool:
    """Whether it is for `host`, by this authority, and not to be renewed yet."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        same = certificate.public_key() == _private_key(pair.key).public_key()
    except (*_UNUSABLE, x509.ExtensionNotFound):
        return False
    left = certificate.not_valid_after_utc.timestamp() - now
    return same and _alternative(host) in list(names) and left > RENEW_SECONDS


def are_certificates(pem: bytes, *, at_most: int) -> bool:
    """Whether it is one certificate or several, in so many bytes."""
    try:
        return len(pem) <= at_most and pem.isascii() and bool(x509.load_pem_x509_certificates(pem))
    except ValueError:
        return False


def _builder(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, *, issuer: x509.Name, now: float, until: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now, tz=UTC) - _CLOCKS_DIFFER)
        .not_valid_after(datetime.fromtimestamp(until, tz=UTC))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("no elliptic curve key")
    return key


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
