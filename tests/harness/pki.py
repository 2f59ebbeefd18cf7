"""Certificates for a cluster's own use: one authority, its servers, and a client for each user.

Separate so that the control plane deals in files only. In Kubernetes a client certificate's common name
is the user and its organisations are the groups.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.harness import cache

# Clocks of one machine agree; this is for clocks that are set back.
BACKDATED = datetime.timedelta(hours=1)
LIFETIME = datetime.timedelta(days=3650)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority whose files lie in `folder`; it is made when it first signs."""

    folder: Path

    @property
    def pair(self) -> Pair:
        return Pair(self.folder / "ca.crt", self.folder / "ca.key")

    def _made(self) -> Pair:
        pair = self.pair
        if not pair.key.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trainyard-harness")])
            builder = _builder(subject=name, issuer=name, key=key)
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            builder = builder.add_extension(_key_usage(authority=True), critical=True)
            _write(pair, builder.sign(key, hashes.SHA256()), key)
        return pair

    def server(self, name: str, *, hosts: tuple[str, ...]) -> Pair:
        """A certificate that serves, and may also ask as a client (etcd's peer does both)."""
        names = [_host(host) for host in hosts]
        return self._issue(name, user=name, groups=(), names=names)

    def client(self, name: str, *, user: str, groups: tuple[str, ...] = ()) -> Pair:
        return self._issue(name, user=user, groups=groups, names=[])

    def _issue(self, name: str, *, user: str, groups: tuple[str, ...], names: list[x509.GeneralName]) -> Pair:
        authority = self._made()
        signer = serialization.load_pem_private_key(authority.key.read_bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        issuer = x509.load_pem_x509_certificate(authority.certificate.read_bytes()).subject
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        builder = _builder(subject=x509.Name(subject), issuer=issuer, key=key)
        builder = builder.add_extension(_key_usage(authority=False), critical=True)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if names:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        pair = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        _write(pair, builder.sign(signer, hashes.SHA256()), key)
        return pair


def signing_key(folder: Path) -> Pair:
    """The key pair that service account tokens are signed with; the "certificate" is the public key."""
    pair = Pair(folder / "service-accounts.pub", folder / "service-accounts.key")
    if not pair.key.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        cache.write_atomically(pair.certificate, public)
        cache.write_atomically(pair.key, _pem(key), mode=0o600)
    return pair


def kubeconfig(*, server: str, authority: Path, client: Pair, context: str) -> str:
    """A kubeconfig with everything inside, so that it can be copied elsewhere."""

    def inline(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": context, "cluster": {"server": server, "certificate-authority-data": inline(authority)}}
        ],
        "users": [
            {
                "name": context,
                "user": {
                    "client-certificate-data": inline(client.certificate),
                    "client-key-data": inline(client.key),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    return yaml.safe_dump(document, sort_keys=False)


def _builder(
    *, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    pair.key.parent.mkdir(parents=True, exist_ok=True)
    cache.write_atomically(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
    cache.write_atomically(pair.key, _pem(key), mode=0o600)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
