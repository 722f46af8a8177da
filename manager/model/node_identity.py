"""Who a certificate says that its holder is, and how the files of a node's certificate are called.

A certificate of a cluster names the cluster by an identity that was made with its authority, the cluster's name, and
the node, as one URI among its alternative names. So what another cluster has, of the same name or by an authority of
the same name, is told apart by what it says, and not only by who signed it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from manager.model.ids import is_name

AUTHORITY_CERTIFICATE: Final = "authority.crt"
"""The cluster's authority, as each node has it."""
NODE_CERTIFICATE: Final = "node.crt"
NODE_KEY: Final = "node.key"
"""For its node alone: nobody else may read it."""
REVOKED: Final = "revoked.crl"
"""What the authority has revoked, signed by it."""
NODE_FILES: Final = (AUTHORITY_CERTIFICATE, NODE_CERTIFICATE, NODE_KEY, REVOKED)
"""What a node needs, in its directory."""
ETCD_REVOKED: Final = "etcd.crl"
""":data:`REVOKED`, as etcd reads it."""
ETCD_ROOT: Final = "root"
"""The common name that etcd takes for its administrator's (etcd.io/docs, "Role-based access control"): no node's."""

CLUSTER_ID_DIGITS: Final = 32
_SCHEME: Final = "urn:mirrorfarm:"
_HEXADECIMAL: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """A node of one cluster."""

    cluster_id: str
    """Made at random with the cluster's authority, hexadecimal; not the one that etcd keeps."""
    cluster: str
    node: str

    @property
    def uri(self) -> str:
        """As it stands in a certificate."""
        return f"{_SCHEME}{self.cluster_id}:{self.cluster}:{self.node}"

    def is_of_cluster(self, other: "NodeIdentity") -> bool:
        """Whether both are of one cluster: of one identity, whatever it is called."""
        return self.cluster_id == other.cluster_id


def parse_uri(uri: str) -> NodeIdentity | None:
    """What :attr:`NodeIdentity.uri` made; ``None``: it is something else."""
    if not uri.startswith(_SCHEME):
        return None
    parts = uri.removeprefix(_SCHEME).split(":")
    if len(parts) != 3 or not is_cluster_id(parts[0]) or not is_name(parts[1]) or not is_name(parts[2]):
        return None
    return NodeIdentity(*parts)


def find_identity(uris: Iterable[str]) -> NodeIdentity | None:
    """The one identity among a certificate's URIs; ``None``: there is none, or more than one."""
    found = [identity for identity in map(parse_uri, uris) if identity is not None]
    return found[0] if len(found) == 1 else None


def etcd_member_name(cluster: str) -> str:
    """The common name by which the members of a cluster's etcd know each other; with its "." it can be no node's."""
    return f"etcd.{cluster}"


def is_cluster_id(text: str) -> bool:
    """Whether ``text`` can be the identity of a cluster in a certificate."""
    return len(text) == CLUSTER_ID_DIGITS and set(text) <= _HEXADECIMAL
