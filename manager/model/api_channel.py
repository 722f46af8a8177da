"""The agents' channel: what an agent answers to the agents of the other nodes, and how they introduce themselves.

Its lines are those of the local socket (``manager.model.api_lines``), one call to a connection. Each end begins with a
:class:`Greeting`, so that it is known who answers, and that somebody does, before anything is asked. While a call is
under way, the end that answers says each :data:`ALIVE_S` that it is.
"""

from dataclasses import dataclass
from typing import Any, Final

from manager.model.api import ApiError, ErrorKind
from manager.model.api_calls import CALL_OF
from manager.model.api_verify import VerifyArguments
from manager.model.versions import CHANNEL, Spoken, said

APPLICATION: Final = "mirrorfarm-agents"
"""Of this protocol (ALPN, RFC 7301)."""
ALIVE_S: Final = 1.0
MAX_GREETING_BYTES: Final = 4096
MAX_REQUEST_BYTES: Final = 64 << 10
"""Of what other nodes may ask nothing is long: a module's folder is not among it."""

READING: Final = frozenset(
    {
        "node.info",
        "state",
        "why",
        "history",
        "stakes",
        "module.show",
        "logs",
        "diff",
        "check.facts",
        "aside.list",
        "aside.show",
        "farm.show",
        "farm.where",
        "snapshot",
        "replicator",
        "log.levels",
    }
)
"""Calls that change nothing."""
STEERING: Final = frozenset({"desired", "switch", "request", "farm.weight", "verify", "log.level"})
"""Calls that change what any node's agent could change through etcd, compare the copies, or have more or less logged
for a while; never in plain.

A comparison that repairs is none of them: what differs on the other node is lost by it."""
_THROUGH_ETCD: Final = frozenset({"module.apply", "module.remove"})
"""The same from every node."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first line from each end. By TLS, the name that counts is the certificate's."""

    cluster: str
    node: str
    software: str
    version: int = CHANNEL.newest
    """Of the greetings and of what may follow it; calls that one end does not know yet need no other one."""
    oldest_version: int = 0
    """0: no other one than ``version``."""

    @property
    def speaks(self) -> Spoken:
        """The versions of the channel."""
        return said(self.version, self.oldest_version)


def why_not(arguments: Any, node: str, *, secure: bool) -> ApiError | None:
    """Why ``node`` does not answer the call of these ``arguments`` to another node; ``None``: it does.

    ``arguments`` are of one of the classes of :mod:`manager.model.api_calls`. ``secure``: by TLS.
    """
    call = CALL_OF[type(arguments)]
    if isinstance(arguments, VerifyArguments) and arguments.repair:
        return ApiError(
            ErrorKind.REFUSED,
            f"verify --repair is not asked of {node} from another node: what differs in the other copy is lost by it.",
            meaning="Nothing was changed, and nothing was compared.",
            remedy=f"Run it on the primary itself, without --node: mirrorfarm verify {arguments.module} --repair.",
        )
    if call in READING or (secure and call in STEERING):
        return None
    if call in STEERING:
        return ApiError(
            ErrorKind.REFUSED,
            f"{call} is not asked of {node} from another node while tls.mode is off: the network would say who asks.",
            meaning="Nothing was changed.",
            remedy=f'Run the command on {node}; or have tls.mode = "on" in agent.toml of all nodes (mirrorfarm pki).',
        )
    here = "Leave out the option --node before the command: from every node it is the same."
    return ApiError(
        ErrorKind.REFUSED,
        f"{call} is not asked of {node} from another node.",
        meaning="Nothing was changed.",
        remedy=here if call in _THROUGH_ETCD else f"Run the command on {node}.",
    )
