"""The cluster's authority on the machine where it was made: begins it, issues, renews, revokes.

It decides what is done and what is refused, and in which order it is written: a certificate is in the register before
it is in a file, so that there is none that cannot be revoked. How a certificate looks is ``certificates``', how files
are written ``files``' matter. Each refusal is an ApiError that says what happened, what it means and what to do.
"""

import contextlib
import datetime
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from manager.model.api import ApiError, ErrorKind
from manager.model.codec import DecodeError, decode, encode
from manager.model.node_identity import (
    AUTHORITY_CERTIFICATE,
    CLUSTER_ID_DIGITS,
    ETCD_REVOKED,
    ETCD_ROOT,
    NODE_CERTIFICATE,
    NODE_KEY,
    OPERATOR_CERTIFICATE,
    OPERATOR_KEY,
    REVOKED,
)
from manager.pki import certificates, files
from manager.pki.certificates import Authority
from manager.pki.files import Layout
from manager.pki.register import AUTHORITY_DAYS, NODE_DAYS, OF_NODES, OPERATOR_DAYS, Issued, Register, Use


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate that was made."""

    issued: Issued
    cluster: str
    directory: Path
    """Where its files are."""
    is_here: bool
    """They are where the node itself looks for them; else they are to be carried there."""
    former: tuple[Issued, ...]
    """Others of this node, or operator, that are still good."""


@dataclass(frozen=True, slots=True)
class ForEtcd:
    """A certificate that etcd is to have: a member's, or its administrator's."""

    name: str
    use: Use
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EtcdCertified:
    """A certificate for etcd that was made, and is in no file yet."""

    issued: Issued
    cluster: str
    certificate: bytes
    key: bytes
    authority: bytes
    """The authority's certificate."""
    revoked: bytes
    """What it has revoked, as etcd reads it."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What was revoked."""

    revoked: tuple[Issued, ...]
    list_file: Path
    """The new list."""
    other_nodes: tuple[str, ...]
    """Nodes with a good certificate, this one apart: they need the list."""
    etcd_members: tuple[Issued, ...]
    """Members of etcd with a good certificate: they need :data:`ETCD_REVOKED`, beside the list."""


class Office:
    """The authority's directory, and what is done in it. ``now`` is wall time, with its zone."""

    def __init__(self, root: Path, own_node: str, now: datetime.datetime) -> None:
        """``own_node``: this machine's; empty: it is none, or not known."""
        self.layout: Final = Layout(root)
        self._own_node = own_node
        self._now = now.astimezone(datetime.UTC).replace(microsecond=0)
        self._now_text = _text(self._now)

    def init(self, cluster: str, days: int = AUTHORITY_DAYS) -> Authority:
        """Makes the authority of ``cluster``. Raises ApiError, OSError."""
        layout = self.layout
        if layout.authority.exists():
            raise ApiError(
                ErrorKind.REFUSED,
                f"{layout.authority} has an authority already.",
                meaning="Another one would be another cluster's: no node would take the certificates that there are.",
                remedy="mirrorfarm pki issue NODE makes certificates with it. To begin anew, move the directory away "
                "first, and give every node a certificate of the new one.",
            )
        if (layout.root / AUTHORITY_CERTIFICATE).exists():
            raise ApiError(
                ErrorKind.REFUSED,
                f"{layout.root} belongs to a cluster whose authority was made on another machine.",
                meaning="A cluster has one authority. The node's files here were signed by it.",
                remedy="Run this command there. To leave that cluster, move the directory away first.",
            )
        files.make_directory(layout.root)
        cluster_id = secrets.token_hex(CLUSTER_ID_DIGITS // 2)
        made = certificates.make_authority(cluster, cluster_id, self._now, days)
        new = layout.authority.with_name("authority.new")
        shutil.rmtree(new, ignore_errors=True)  # of one that was broken off: nothing was signed by it
        files.make_directory(new)
        files.write(new / layout.authority_key.name, certificates.key_pem(made.key), files.SECRET_MODE)
        files.write(new / AUTHORITY_CERTIFICATE, certificates.certificate_pem(made), files.PUBLIC_MODE)
        register = Register(cluster_id, cluster, lists_made=1)
        files.write(new / layout.register.name, _bytes(register), files.SECRET_MODE)
        files.write(new / REVOKED, certificates.make_revoked(made, (), 1, self._now), files.PUBLIC_MODE)
        os.rename(new, layout.authority)
        return made

    def issue(self, node: str, addresses: Sequence[str], days: int = NODE_DAYS) -> Certified:
        """Makes a certificate for a node that has none. Raises ApiError, OSError."""
        if node == ETCD_ROOT:
            raise ApiError(
                ErrorKind.REFUSED,
                f"A node cannot be called {node}.",
                meaning="etcd knows a node by the name in its certificate, and takes this one for its administrator's.",
                remedy="Give the node another name in its agent.toml.",
            )
        with self._opened() as (authority, register):
            good = register.good(node, self._now_text)
            if good:
                raise ApiError(
                    ErrorKind.REFUSED,
                    f"Node {node} has a certificate already, serial {good[0].serial}, good until {good[0].not_after}.",
                    meaning="Two machines that can both show a certificate of one node cannot be told apart.",
                    remedy=f"For the same machine: mirrorfarm pki renew {node}. "
                    f"For another one in its place: mirrorfarm pki revoke {node}, then issue.",
                )
            return self._certify(authority, register, node, addresses, days)

    def renew(self, node: str, addresses: Sequence[str] | None, days: int = NODE_DAYS) -> Certified:
        """Makes another certificate, with a new key, for a node that has one; ``None``: of the same addresses.

        The former one stays good, so that the files can be exchanged without a stop. Raises ApiError, OSError.
        """
        with self._opened() as (authority, register):
            former = [one for one in register.issued if one.node == node and one.use is Use.NODE and not one.revoked_at]
            if not former:
                raise ApiError(
                    ErrorKind.REFUSED,
                    f"Node {node} has no certificate that could be renewed.",
                    meaning="It was never issued one here, or all of them are revoked.",
                    remedy=f"mirrorfarm pki issue {node} makes its first one; mirrorfarm pki show lists what there is.",
                )
            wanted = former[-1].addresses if addresses is None else addresses
            return self._certify(authority, register, node, wanted, days)

    def issue_operator(self, operator: str, days: int = OPERATOR_DAYS, passphrase: bytes = b"") -> Certified:
        """Makes a certificate for an operator who has none; ``passphrase``: his key's. Raises ApiError, OSError."""
        with self._opened() as (authority, register):
            good = register.good(operator, self._now_text, (Use.OPERATOR,))
            if good:
                raise ApiError(
                    ErrorKind.REFUSED,
                    f"Operator {operator} has a certificate already, serial {good[0].serial}, good until "
                    f"{good[0].not_after}.",
                    meaning="Two people with certificates of one name cannot be told apart afterwards.",
                    remedy=f"For the same person: mirrorfarm pki renew --operator {operator}. For another one: another "
                    f"name; or mirrorfarm pki revoke --operator {operator}, then issue.",
                )
            return self._certify_operator(authority, register, operator, days, passphrase)

    def renew_operator(self, operator: str, days: int = OPERATOR_DAYS, passphrase: bytes = b"") -> Certified:
        """Makes another certificate, with a new key, for an operator who has one; it stays good.

        Raises ApiError, OSError.
        """
        with self._opened() as (authority, register):
            if not any(o.node == operator and o.use is Use.OPERATOR and not o.revoked_at for o in register.issued):
                raise ApiError(
                    ErrorKind.REFUSED,
                    f"Operator {operator} has no certificate that could be renewed.",
                    meaning="He was never issued one here, or all of them are revoked.",
                    remedy=f"mirrorfarm pki issue --operator {operator} makes his first one; mirrorfarm pki show lists "
                    "what there is.",
                )
            return self._certify_operator(authority, register, operator, days, passphrase)

    def certify_etcd(self, wanted: Sequence[ForEtcd], days: int = NODE_DAYS) -> tuple[EtcdCertified, ...]:
        """Makes certificates for etcd, in the order of ``wanted``, and no file of them. Raises ApiError, OSError."""
        with self._opened() as (authority, register):
            self._refuse_over(authority)
            if register.good(ETCD_ROOT, self._now_text):
                raise ApiError(
                    ErrorKind.REFUSED,
                    f"There is a node that is called {ETCD_ROOT}.",
                    meaning="etcd would take it for its administrator.",
                    remedy=f"Give it another name and certificate, then: mirrorfarm pki revoke {ETCD_ROOT}.",
                )
            made = [self._make_for_etcd(authority, one, days) for one in wanted]
            self._write_register(register.add(*(issued for issued, _, _ in made)))
            own = certificates.certificate_pem(authority)
            revoked = certificates.list_for_etcd(self._list(authority, register))
            return tuple(EtcdCertified(i, register.cluster, pem, key, own, revoked) for i, pem, key in made)

    def revoke(self, node: str, serial: str = "", uses: Sequence[Use] = OF_NODES) -> Withdrawn:
        """Revokes what ``node`` has, for etcd too, or the one of ``serial``; writes the lists.

        ``uses``: that of an operator alone, where ``node`` is the name of one. Raises ApiError, OSError.
        """
        with self._opened() as (authority, register):
            good = register.good(node, self._now_text, uses)
            chosen = tuple(one for one in good if not serial or one.serial == serial)
            if not chosen:
                which = f" of serial {serial}" if serial else ""
                who = "Operator" if Use.OPERATOR in uses else "Node"
                raise ApiError(
                    ErrorKind.REFUSED,
                    f"{who} {node} has no certificate{which} that is still good: there is nothing to revoke.",
                    remedy="mirrorfarm pki show lists what there is.",
                )
            register = register.revoke([one.serial for one in chosen], self._now_text)
            self._write_register(register)
            new_list = self._list(authority, register)
            for directory in (self.layout.authority, *self._holders()):
                files.write(directory / REVOKED, new_list, files.PUBLIC_MODE)
            etcd_list = certificates.list_for_etcd(new_list)
            for path in (self.layout.authority / ETCD_REVOKED, *self.layout.etcd.glob(f"*/{ETCD_REVOKED}")):
                files.write(path, etcd_list, files.PUBLIC_MODE)
            nodes = tuple(one.node for one in register.holders(self._now_text, Use.NODE) if one.node != self._own_node)
            members = register.holders(self._now_text, Use.ETCD)
            return Withdrawn(chosen, self.layout.authority / REVOKED, nodes, members)

    def register(self) -> Register:
        """What was issued and revoked. Raises ApiError, OSError."""
        with self._opened() as (_, register):
            return register

    def names(self, use: Use) -> tuple[str, ...]:
        """Who has a good certificate for ``use``. Raises ApiError, OSError."""
        return tuple(one.node for one in self.register().holders(self._now_text, use))

    def _certify(
        self, authority: Authority, register: Register, node: str, addresses: Sequence[str], days: int
    ) -> Certified:
        self._refuse_over(authority)
        serial = certificates.new_serial()
        certificate, key = certificates.make_node(authority, node, addresses, serial, self._now, days)
        shown = certificates.read_node(certificate)
        issued = Issued(shown.serial, node, shown.addresses, self._now_text, _text(shown.not_after))
        is_here = node == self._own_node
        directory = self.layout.root if is_here else self.layout.parcel(node)
        own = {NODE_KEY: key, NODE_CERTIFICATE: certificate}
        return self._hand_out(authority, register, issued, directory, own, is_here=is_here)

    def _certify_operator(
        self, authority: Authority, register: Register, operator: str, days: int, passphrase: bytes
    ) -> Certified:
        self._refuse_over(authority)
        serial = certificates.new_serial()
        certificate, key = certificates.make_operator(authority, operator, serial, self._now, days, passphrase)
        shown = certificates.read_operator(certificate)
        issued = Issued(shown.serial, operator, (), self._now_text, _text(shown.not_after), use=Use.OPERATOR)
        own = {OPERATOR_KEY: key, OPERATOR_CERTIFICATE: certificate}
        return self._hand_out(authority, register, issued, self.layout.operators / operator, own, is_here=False)

    def _hand_out(
        self,
        authority: Authority,
        register: Register,
        issued: Issued,
        directory: Path,
        own: Mapping[str, bytes],
        *,
        is_here: bool,
    ) -> Certified:
        """Register it first, so that none is good that could not be revoked; then its holder's files are there."""
        former = register.good(issued.node, self._now_text, (issued.use,))
        register = register.add(issued)
        self._write_register(register)
        shared = {
            AUTHORITY_CERTIFICATE: certificates.certificate_pem(authority),
            REVOKED: self._list(authority, register),
        }
        files.write_holder(directory, {**shared, **own})
        return Certified(issued, register.cluster, directory, is_here, former)

    def _make_for_etcd(self, authority: Authority, wanted: ForEtcd, days: int) -> tuple[Issued, bytes, bytes]:
        serial = certificates.new_serial()
        if wanted.use is Use.ETCD:
            made = certificates.make_etcd_member(authority, wanted.addresses, serial, self._now, days)
        else:
            made = certificates.make_etcd_user(authority, wanted.name, serial, self._now, days)
        until = _text(certificates.not_after(made[0]))
        shown = certificates.serial_text(serial)
        return Issued(shown, wanted.name, wanted.addresses, self._now_text, until, use=wanted.use), *made

    def _refuse_over(self, authority: Authority) -> None:
        if self._now >= authority.certificate.not_valid_after_utc:
            raise ApiError(
                ErrorKind.REFUSED,
                f"The authority itself was good until {_text(authority.certificate.not_valid_after_utc)}.",
                meaning="No node takes a certificate of it any more.",
                remedy="Move the directory away, mirrorfarm pki init, and issue every node a certificate anew.",
            )

    def _list(self, authority: Authority, register: Register) -> bytes:
        revoked = [(int(one.serial, 16), datetime.datetime.fromisoformat(one.revoked_at)) for one in register.revoked]
        return certificates.make_revoked(authority, revoked, register.lists_made, self._now)

    def _holders(self) -> list[Path]:
        """Directories on this machine with files of a node or an operator: its own, and those to be carried."""
        nodes = [self.layout.root, *sorted(self.layout.parcel("x").parent.glob("*"))]
        found = [directory for directory in nodes if (directory / NODE_CERTIFICATE).exists()]
        operators = sorted(self.layout.operators.glob("*"))
        return [*found, *(directory for directory in operators if (directory / OPERATOR_CERTIFICATE).exists())]

    def _write_register(self, register: Register) -> None:
        files.write(self.layout.register, _bytes(register), files.SECRET_MODE)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Authority, Register]]:
        """The authority and its register, for this command alone."""
        layout = self.layout
        if not layout.authority.is_dir():
            raise ApiError(
                ErrorKind.REFUSED,
                f"There is no authority in {layout.authority}.",
                meaning="Certificates are made where the authority was: its key is on that machine alone.",
                remedy="Run this command there; or, if the cluster has none yet: mirrorfarm pki init.",
            )
        with files.locked(layout.authority):
            try:
                register = decode(Register, files.read(layout.register))
                key = files.read_secret(layout.authority_key)
                certificate = files.read(layout.authority / AUTHORITY_CERTIFICATE)
                authority = certificates.load_authority(register.cluster_id, register.cluster, certificate, key)
            except files.Exposed as exposed:
                raise ApiError(
                    ErrorKind.REFUSED,
                    f"{exposed}.",
                    meaning="Whoever has read it can make certificates of this cluster.",
                    remedy=f"chmod 600 {layout.authority_key}, if nobody can have read it. Otherwise begin anew: move "
                    "the directory away, mirrorfarm pki init, and issue every node a certificate.",
                ) from None
            except (certificates.NotOurs, DecodeError, FileNotFoundError) as damaged:
                raise ApiError(
                    ErrorKind.FAILED,
                    f"The authority in {layout.authority} is not whole: {damaged}.",
                    meaning="Nothing can be issued or revoked. Certificates that the nodes have stay good.",
                    remedy="Bring the directory back from a backup.",
                ) from None
            yield authority, register


def _bytes(register: Register) -> bytes:
    return f"{encode(register)}\n".encode()


def _text(instant: datetime.datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S+00:00")
