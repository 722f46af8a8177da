"""Who a certificate says that its holder is, and how the files of a holder are called.

A certificate of a cluster names the cluster by an identity that was made with its authority, the cluster's name, and
the node or the operator, as one URI among its alternative names. So what another cluster has, of the same name or by an
authority of the same name, is told apart by what it says, and not only by who signed it. A node's and an operator's
have URIs of two schemes, neither of which is the beginning of the other: none is ever read as the other one's.
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
OPERATOR_CERTIFICATE: Final = "operator.crt"
OPERATOR_KEY: Final = "operator.key"
"""For its operator alone: nobody else may read it."""
OPERATOR_FILES: Final = (AUTHORITY_CERTIFICATE, OPERATOR_CERTIFICATE, OPERATOR_KEY, REVOKED)
"""What an operator needs, in a directory of his own."""
ETCD_REVOKED: Final = "etcd.crl"
""":data:`REVOKED`, as etcd reads it."""
ETCD_ROOT: Final = "root"
"""The common name that etcd takes for its administrator's (etcd.io/docs, "Role-based access control"): no node's."""

CLUSTER_ID_DIGITS: Final = 32
_SCHEME: Final = "urn:mirrorfarm:"
_OPERATOR_SCHEME: Final = "urn:mirrorfarm-operator:"
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

    def is_of_cluster(self, other: "Holder") -> bool:
        """Whether both are of one cluster: of one identity, whatever it is called."""
        return self.cluster_id == other.cluster_id


@dataclass(frozen=True, slots=True)
class OperatorIdentity:
    """Somebody who may steer one cluster, from wherever he is; no node."""

    cluster_id: str
    """As in :class:`NodeIdentity`."""
    cluster: str
    operator: str

    @property
    def uri(self) -> str:
        """As it stands in a certificate."""
        return f"{_OPERATOR_SCHEME}{self.cluster_id}:{self.cluster}:{self.operator}"


Holder = NodeIdentity | OperatorIdentity
"""Of a certificate."""


def parse_uri(uri: str) -> NodeIdentity | None:
    """What :attr:`NodeIdentity.uri` made; ``None``: it is something else."""
    parts = _parts(uri, _SCHEME)
    return None if parts is None else NodeIdentity(*parts)


def parse_operator_uri(uri: str) -> OperatorIdentity | None:
    """What :attr:`OperatorIdentity.uri` made; ``None``: it is something else."""
    parts = _parts(uri, _OPERATOR_SCHEME)
    return None if parts is None else OperatorIdentity(*parts)


def _parts(uri: str, scheme: str) -> list[str] | None:
    """Identity and name of the cluster, and the name of the holder."""
    if not uri.startswith(scheme):
        return None
    parts = uri.removeprefix(scheme).split(":")
    if len(parts) != 3 or not is_cluster_id(parts[0]) or not is_name(parts[1]) or not is_name(parts[2]):
        return None
    return parts


def find_holder(uris: Iterable[str]) -> Holder | None:
    """The one identity among a certificate's URIs, of a node or of an operator; ``None``: there is none, or more."""
    found = [holder for uri in uris if (holder := parse_uri(uri) or parse_operator_uri(uri)) is not None]
    return found[0] if len(found) == 1 else None


def find_identity(uris: Iterable[str]) -> NodeIdentity | None:
    """The node of which a certificate with these URIs is; ``None``: it is not one of a node, or not of one alone."""
    holder = find_holder(uris)
    return holder if isinstance(holder, NodeIdentity) else None


def etcd_member_name(cluster: str) -> str:
    """The common name by which the members of a cluster's etcd know each other; with its "." it can be no node's."""
    return f"etcd.{cluster}"


def operator_common_name(operator: str) -> str:
    """The common name in an operator's certificate: with its "." it can be no node's, and so no user of etcd's."""
    return f"operator.{operator}"


def is_cluster_id(text: str) -> bool:
    """Whether ``text`` can be the identity of a cluster in a certificate."""
    return len(text) == CLUSTER_ID_DIGITS and set(text) <= _HEXADECIMAL
