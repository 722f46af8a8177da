"""A cluster's authority for tests, and nodes with certificates that are good, and that are not."""

import dataclasses
import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path

from manager.model.node_identity import (
    AUTHORITY_CERTIFICATE,
    NODE_CERTIFICATE,
    NODE_FILES,
    NODE_KEY,
    OPERATOR_CERTIFICATE,
    OPERATOR_KEY,
    REVOKED,
)
from manager.pki import certificates
from manager.pki.authority import Office
from manager.pki.certificates import Authority
from manager.pki.credentials import Credentials
from manager.pki.register import Use

DAY = datetime.timedelta(days=1)


class Cluster:
    """An authority below ``base``; its nodes' directories are below :attr:`root`, by their names."""

    def __init__(self, base: Path, *nodes: str, name: str = "main") -> None:
        self.now = datetime.datetime.now(datetime.UTC)
        self.office = Office(base, "", self.now)
        self.authority = self.office.init(name)
        self.root = base / "nodes"
        for node in nodes:
            self.office.issue(node, ["127.0.0.1"])

    def directory(self, node: str) -> Path:
        """Of one node."""
        return self.root / node

    def renew(self, node: str, into: Path | None = None) -> None:
        """Gives it new files, as somebody who copies them one after the other."""
        self.office.renew(node, None)
        if into is not None:
            for name in NODE_FILES:
                replace(into / name, (self.directory(node) / name).read_bytes())

    def hand_out_revoked(self, *nodes: str) -> None:
        """Copies the list of what is revoked to these nodes."""
        for node in nodes:
            replace(self.directory(node) / REVOKED, (self.office.layout.authority / REVOKED).read_bytes())

    def operator(self, name: str, passphrase: bytes = b"") -> Path:
        """The folder of an operator with a good certificate."""
        return self.office.issue_operator(name, passphrase=passphrase).directory

    # Certificates that are not good

    def expired(self, node: str) -> Path:
        """A node's, over since yesterday."""
        return self._made("expired", node, self.authority, self.now - 10 * DAY, days=9)

    def lasting(self, node: str, seconds: float) -> Path:
        """A node's, good for so long from now."""
        left = datetime.timedelta(seconds=seconds)
        return self._made("lasting", node, self.authority, datetime.datetime.now(datetime.UTC) - DAY + left, days=1)

    def beginning(self, node: str, seconds: float) -> Path:
        """A node's, good from so long from now on."""
        wanted = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        return self._made("beginning", node, self.authority, wanted + certificates.CLOCKS_DIFFER)

    def revoked(self, node: str) -> Path:
        """A node's, revoked; the others have the list, and it has one from before."""
        self.office.issue(node, [])
        before = (self.directory(node) / REVOKED).read_bytes()
        self.office.revoke(node)
        replace(self.directory(node) / REVOKED, before)
        return self.directory(node)

    def of_an_equal_authority(self, node: str) -> Path:
        """A node's, by an authority of the same name and identity, and of another key."""
        equal = certificates.make_authority(self.authority.cluster, self.authority.cluster_id, self.now, 10)
        return self._made("equal", node, equal, self.now)

    def of_another_cluster(self, node: str) -> Path:
        """A node's of another cluster of the same name, signed by this one's authority."""
        other = dataclasses.replace(self.authority, cluster_id="f" * 32)
        return self._made("other", node, other, self.now)

    def bad_operator(self, kind: str, name: str) -> Path:
        """A folder with a certificate that is ``expired``, ``early``, ``revoked``, of an ``equal`` authority,
        or of an ``other`` cluster by the same one."""
        if kind == "revoked":
            directory = self.operator(name)
            before = (directory / REVOKED).read_bytes()
            self.office.revoke(name, uses=(Use.OPERATOR,))
            replace(directory / REVOKED, before)
            return directory
        authority, now = self.authority, self.now
        if kind == "equal":
            authority = certificates.make_authority(authority.cluster, authority.cluster_id, now, 10)
        elif kind == "other":
            authority = dataclasses.replace(authority, cluster_id="f" * 32)
        else:
            now += {"expired": -10 * DAY, "early": 2 * DAY}[kind]
        directory = self.root.parent / kind / name
        directory.mkdir(parents=True)
        serial = certificates.new_serial()
        certificate, key = certificates.make_operator(authority, name, serial, now, 5, b"")
        own = certificates.certificate_pem(self.authority)
        lists = certificates.make_revoked(self.authority, [], 1, self.now)
        names = (AUTHORITY_CERTIFICATE, REVOKED, OPERATOR_CERTIFICATE, OPERATOR_KEY)
        for file, content in zip(names, (own, lists, certificate, key), strict=True):
            replace(directory / file, content)
        return directory

    def _made(self, kind: str, node: str, authority: Authority, now: datetime.datetime, days: int = 5) -> Path:
        directory = self.root.parent / kind / node
        directory.mkdir(parents=True)
        serial = certificates.new_serial()
        certificate, key = certificates.make_node(authority, node, [], serial, now, days)
        contents = {
            AUTHORITY_CERTIFICATE: certificates.certificate_pem(authority),
            REVOKED: certificates.make_revoked(authority, [], 1, self.now),
            NODE_CERTIFICATE: certificate,
            NODE_KEY: key,
        }
        for name, content in contents.items():
            replace(directory / name, content)
        return directory


class Watched:
    """The credentials of a node, and what is said of them."""

    def __init__(
        self,
        directory: Path,
        node: str,
        application: str = "mirrorfarm-stream",
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.taken: list[str] = []
        self.refused: list[tuple[str, bool]] = []
        self.credentials = Credentials(
            str(directory),
            node,
            application,
            lambda own: self.taken.append(own.node),
            lambda *told: self.refused.append(told),
            clock_s,
        )


def replace(path: Path, content: bytes) -> None:
    """A file with a key, for its owner alone."""
    new = path.with_name(path.name + ".copied")
    new.touch(0o600)
    new.write_bytes(content)
    os.replace(new, path)
