"""Certificates, keys and revocation lists, as bytes: what stands in them, and who may show them.

It decides their form (X.509, RFC 5280; ECDSA on P-256) and knows no files, no clock, and not who asked. A node's
certificate is good at both ends of a connection, and names the node (:mod:`manager.model.node_identity`), its name and
its addresses. An operator's is good for who connects alone, and names him, by a URI of another scheme. Those of etcd's
members and of its administrator name neither, so nobody takes them for one. etcd takes a client's common name for that
of its user: an operator's is one that no user has. Keys are made here and are in no error and no text.
"""

import datetime
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from manager.model.node_identity import (
    NodeIdentity,
    OperatorIdentity,
    etcd_member_name,
    find_holder,
    find_identity,
    operator_common_name,
)

CLOCKS_DIFFER: Final = datetime.timedelta(days=1)
"""By so much a certificate is good before it was made: the other nodes' clocks may be behind."""
_SERIAL_BITS: Final = 64
_HASH: Final = hashes.SHA256()
_BOTH_ENDS: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
_CLIENT: Final = (ExtendedKeyUsageOID.CLIENT_AUTH,)


class NotOurs(Exception):
    """Bytes that are no certificate, key or list of a cluster; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A cluster's authority, with its key: whoever has this can be any node."""

    cluster_id: str
    cluster: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Shown:
    """What a node's certificate says."""

    identity: NodeIdentity
    serial: str
    """Hexadecimal."""
    addresses: tuple[str, ...]
    not_before: datetime.datetime
    not_after: datetime.datetime


@dataclass(frozen=True, slots=True)
class OperatorShown:
    """What an operator's certificate says."""

    identity: OperatorIdentity
    serial: str
    not_before: datetime.datetime
    not_after: datetime.datetime


def make_authority(cluster: str, cluster_id: str, now: datetime.datetime, days: int) -> Authority:
    """A new authority, good for ``days`` from ``now``. Its name has the cluster's identity in it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Mirrorfarm"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, cluster_id),
            x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {cluster}"),
        ]
    )
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, _HASH)
    )
    return Authority(cluster_id, cluster, certificate, key)


def make_node(
    authority: Authority, node: str, addresses: Sequence[str], serial: int, now: datetime.datetime, days: int
) -> tuple[bytes, bytes]:
    """A node's certificate and its key, both PEM; good for ``days``, and no longer than the authority's own."""
    identity = NodeIdentity(authority.cluster_id, authority.cluster, node)
    names = [x509.UniformResourceIdentifier(identity.uri), x509.DNSName(node), *_ip_names(addresses)]
    return _signed(authority, node, names, serial, now, days)


def make_operator(
    authority: Authority, operator: str, serial: int, now: datetime.datetime, days: int, passphrase: bytes
) -> tuple[bytes, bytes]:
    """An operator's certificate and his key, both PEM; ``passphrase``: that the key is kept with; empty: with none."""
    identity = OperatorIdentity(authority.cluster_id, authority.cluster, operator)
    names = [x509.UniformResourceIdentifier(identity.uri)]
    named = operator_common_name(operator)
    return _signed(authority, named, names, serial, now, days, _CLIENT, passphrase)


def make_etcd_member(
    authority: Authority, addresses: Sequence[str], serial: int, now: datetime.datetime, days: int
) -> tuple[bytes, bytes]:
    """Certificate and key of a member of etcd, for its clients and for the other members, which it is a client of.

    No names, addresses alone: where no address fits, etcd looks up the names, and no look-up shall say who is a member.
    """
    return _signed(authority, etcd_member_name(authority.cluster), _ip_names(addresses), serial, now, days)


def make_etcd_user(
    authority: Authority, user: str, serial: int, now: datetime.datetime, days: int
) -> tuple[bytes, bytes]:
    """Certificate and key of a user of etcd that is no node."""
    return _signed(authority, user, [], serial, now, days)


def _ip_names(addresses: Sequence[str]) -> list[x509.GeneralName]:
    return [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]


def _signed(
    authority: Authority,
    common_name: str,
    names: Sequence[x509.GeneralName],
    serial: int,
    now: datetime.datetime,
    days: int,
    uses: Sequence[x509.ObjectIdentifier] = _BOTH_ENDS,
    passphrase: bytes = b"",
) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    issuer = authority.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Mirrorfarm"),
                    x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, authority.cluster_id),
                    x509.NameAttribute(NameOID.COMMON_NAME, common_name),
                ]
            )
        )
        .issuer_name(issuer.subject)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(min(now + datetime.timedelta(days=days), issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_issued_by(issuer), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(authority.key, _HASH)
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem(key, passphrase)


def make_revoked(
    authority: Authority, revoked: Sequence[tuple[int, datetime.datetime]], number: int, now: datetime.datetime
) -> bytes:
    """The list of what is revoked (serial, when), PEM.

    It is good for as long as the authority is: a list that nobody has replaced in time must not stop a pair.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - CLOCKS_DIFFER)
        .next_update(authority.certificate.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_issued_by(authority.certificate), critical=False)
    )
    for serial, when in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
        )
    return builder.sign(authority.key, _HASH).public_bytes(serialization.Encoding.PEM)


def list_for_etcd(revoked: bytes) -> bytes:
    """The list of :func:`make_revoked` as etcd reads it: etcd 3.6 takes none in PEM, and then refuses everybody."""
    return x509.load_pem_x509_crl(revoked).public_bytes(serialization.Encoding.DER)


def not_after(certificate: bytes) -> datetime.datetime:
    """Until when a certificate, PEM, is good."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def common_name(certificate: bytes) -> str:
    """The name that etcd takes for its user's; empty: there is none. Raises NotOurs."""
    try:
        found = x509.load_pem_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        raise NotOurs("no certificate, in PEM") from None
    return str(found[0].value) if found else ""


def new_serial() -> int:
    """At random, of 64 bits: nobody has to keep count."""
    return secrets.randbits(_SERIAL_BITS) | 1


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    """A key as it stands in its file; a node's without a passphrase, since it has to start with nobody there."""
    kept: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        kept = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kept)


def certificate_pem(authority: Authority) -> bytes:
    """The authority's certificate."""
    return authority.certificate.public_bytes(serialization.Encoding.PEM)


def load_authority(cluster_id: str, cluster: str, certificate: bytes, key: bytes) -> Authority:
    """What was written. Raises NotOurs."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate)
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        raise NotOurs("no certificate and key in PEM") from None  # the error may quote what it could not read
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != loaded.public_key():
        raise NotOurs("the key is not that of the certificate")
    return Authority(cluster_id, cluster, loaded, private)


def read_node(certificate: bytes) -> Shown:
    """What a node's certificate says; who signed it is not looked at. Raises NotOurs."""
    loaded, names = _named(certificate)
    identity = find_identity(names.get_values_for_type(x509.UniformResourceIdentifier))
    if identity is None:
        raise NotOurs("a certificate that names no node of a cluster")
    return Shown(
        identity,
        serial_text(loaded.serial_number),
        tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)),
        loaded.not_valid_before_utc,
        loaded.not_valid_after_utc,
    )


def read_operator(certificate: bytes) -> OperatorShown:
    """What an operator's certificate says; who signed it is not looked at. Raises NotOurs."""
    loaded, names = _named(certificate)
    identity = find_holder(names.get_values_for_type(x509.UniformResourceIdentifier))
    if not isinstance(identity, OperatorIdentity):
        raise NotOurs("a certificate that names no operator of a cluster")
    serial = serial_text(loaded.serial_number)
    return OperatorShown(identity, serial, loaded.not_valid_before_utc, loaded.not_valid_after_utc)


def _named(certificate: bytes) -> tuple[x509.Certificate, x509.SubjectAlternativeName]:
    """Raises NotOurs."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate)
        return loaded, loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        raise NotOurs("no certificate of a node or an operator, in PEM") from None


def serial_text(serial: int) -> str:
    """As it is shown, and kept."""
    return f"{serial:016x}"


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
