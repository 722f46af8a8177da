"""The files that a client of etcd needs, read and checked before the first call.

gRPC reads certificates late, and says "failed to connect" whatever is wrong with them; here each file is named.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from manager.file_signatures import Signature, signature
from manager.model.config.agent_config import EtcdConfig
from manager.model.config.findings import Finding, InvalidConfig


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is shown to the servers. ``None``: without."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    """As it was read at the start."""
    password_file: str = ""


def read_credentials(config: EtcdConfig) -> Credentials:
    """The credentials that ``config`` names.

    Raises:
        InvalidConfig: a file cannot be read or does not hold what it should.
    """
    credentials = Credentials(
        ca_file=config.ca_file or None,
        cert_file=config.cert_file or None,
        key_file=config.key_file or None,
        user=config.user,
        password=_password(config.password_file) if config.user else "",
        password_file=config.password_file if config.user else "",
    )
    check_files(credentials)
    return credentials


def check_files(credentials: Credentials) -> None:
    """That TLS can be made of the files as they are now. Raises InvalidConfig, which names what cannot be used."""
    if credentials.ca_file:
        _check_ca(credentials.ca_file)
    if credentials.cert_file:
        _check_pair(credentials.cert_file, credentials.key_file or "")


def password_now(credentials: Credentials) -> str:
    """As its file has it now. Raises InvalidConfig: it has none, as while somebody writes it."""
    return _password(credentials.password_file) if credentials.password_file else credentials.password


def signatures(credentials: Credentials) -> tuple[Signature | None, ...]:
    """Others once a file is another one; ``None``: there is none, or nothing is there."""
    return tuple(map(_signature, (credentials.ca_file, credentials.cert_file, credentials.key_file)))


def _signature(file: str | None) -> Signature | None:
    try:
        return signature(file) if file else None
    except OSError:
        return None


def _password(file: str) -> str:
    allowed = "a file whose first line is the password of etcd.user"
    lines = _read(file, "etcd.password_file", allowed).splitlines()
    if not lines or not lines[0].strip():
        raise _wrong(file, "etcd.password_file", "an empty first line", allowed)
    return lines[0].strip()


def _check_ca(file: str) -> None:
    allowed = "a CA's certificate, in PEM"
    text = _read(file, "etcd.ca_file", allowed)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise _wrong(file, "etcd.ca_file", f"no certificate ({error})", allowed) from error


def _check_pair(cert_file: str, key_file: str) -> None:
    _read(cert_file, "etcd.cert_file", "this node's certificate, in PEM")
    allowed = "the private key of etcd.cert_file, in PEM, without a passphrase"
    _read(key_file, "etcd.key_file", allowed)
    try:
        # The empty passphrase keeps OpenSSL from asking for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert_file, key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        found = f"nothing that fits {cert_file} ({error})"
        raise _wrong(key_file, "etcd.key_file", found, f"{allowed}; and a certificate in that file") from error


def _read(file: str, key: str, allowed: str) -> str:
    try:
        return Path(file).read_text()
    except OSError as error:
        raise _wrong(file, key, f"nothing readable ({error.strerror})", allowed) from error
    except UnicodeDecodeError as error:
        raise _wrong(file, key, "no text", allowed) from error


def _wrong(file: str, key: str, found: str, allowed: str) -> InvalidConfig:
    return InvalidConfig([Finding(file, key, found, allowed)])
