"""Who is heard at the door of the agents' channel: by the certificate that was shown, or, in plain, as it says.

Pure. It decides whose certificate is none of this cluster's, and under which name somebody stands in logs and records.
"""

from dataclasses import dataclass
from typing import Final

from manager.model.api_channel import Asker, Greeting
from manager.model.node_identity import Holder, NodeIdentity, OperatorIdentity
from manager.pki.credentials import Contexts

_LONGEST_USER: Final = 64


@dataclass(frozen=True, slots=True)
class RemoteCaller:
    """Somebody at another node."""

    user: str
    """As that node says."""
    node: str
    """By its certificate; in plain, as it says, with its address."""

    @property
    def name(self) -> str:
        """For the records. A user with a blank in his name is in quotes: no node's word reads as an operator's name."""
        user = f'"{self.user}"' if " " in self.user else self.user
        return f"{user} on {self.node}"


@dataclass(frozen=True, slots=True)
class OperatorCaller:
    """Somebody with a certificate of his own."""

    operator: str

    @property
    def name(self) -> str:
        """For the records."""
        return f"operator {self.operator}"


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who is heard."""

    asker: Asker
    name: str
    """Of the node or the operator; in plain as it says, with its address."""
    owner: str
    """As calls are counted."""

    def caller(self, user: str) -> RemoteCaller | OperatorCaller:
        """For the handlers; ``user`` as a node has named somebody there."""
        return OperatorCaller(self.name) if self.asker is Asker.OPERATOR else RemoteCaller(harmless(user), self.name)


def who_is(holder: Holder | None, said: Greeting, address: str) -> Who:
    """Who is heard: by what it has shown, or in plain as it says."""
    match holder:
        case OperatorIdentity(operator=operator):
            return Who(Asker.OPERATOR, operator, f"operator {operator}")
        case NodeIdentity(node=node):
            return Who(Asker.NODE, node, node)
    return Who(Asker.ANYBODY, f"{harmless(said.node)} ({address})", address)


def refusal_of(identity: Holder | None, contexts: Contexts | None) -> str | None:
    """Why who has shown ``identity`` is not heard; ``None``: it is."""
    if contexts is None or identity is None:
        return None
    own = contexts.own
    if not own.is_of_cluster(identity):
        what = f"of cluster {identity.cluster}, identity {identity.cluster_id}"
        return f"its certificate is {what}; this node's identity is {own.cluster_id}"
    if isinstance(identity, NodeIdentity) and identity.node == own.node:
        return f"its certificate is this node's own, {own.node}: two machines have it, or one asks itself"
    return None


def harmless(user: str) -> str:
    """A name from elsewhere, for logs and records."""
    return "".join(c for c in user[:_LONGEST_USER] if c.isprintable()) or "somebody"
