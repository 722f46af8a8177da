"""The agents' channel: what an agent answers to the agents of the other nodes and to operators, and how they begin.

Its lines are those of the local socket (``manager.model.api_lines``), one call to a connection. Each end begins with a
:class:`Greeting`, so that it is known who answers, and that somebody does, before anything is asked. While a call is
under way, the end that answers says each :data:`ALIVE_S` that it is.
"""

import enum
from dataclasses import dataclass
from typing import Any, Final

from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_calls import CALL_OF
from manager.model.api_requests import RequestArguments
from manager.model.api_verify import VerifyArguments
from manager.model.versions import CHANNEL, Spoken, said

APPLICATION: Final = "mirrorfarm-agents"
"""Of this protocol (ALPN, RFC 7301)."""
ALIVE_S: Final = 1.0
MAX_GREETING_BYTES: Final = 4096
MAX_REQUEST_BYTES: Final = 64 << 10
"""Of what other nodes may ask nothing is long: a module's folder is not among it."""
MAX_OPERATOR_REQUEST_BYTES: Final = 4 << 20
"""Of what an operator may ask: as by the local socket, where it may be one."""

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
OPERATING: Final = frozenset(
    {"module.apply", "module.remove", "aside.restore", "aside.clear", "aside.give_up", "farm.traffic"}
)
"""Calls that have scripts run as root, that destroy a last copy, or that are a script's own: for operators alone, as
is a comparison that repairs."""
_THROUGH_ETCD: Final = frozenset({"module.apply", "module.remove", "desired", "switch", "farm.weight"})
"""The same from every node."""
_AS_ONE: Final = (
    " Or with an operator's certificate: --operator NAME beside --node (mirrorfarm pki issue --operator NAME)."
)
_COMMANDS: Final = {
    "desired": "start and stop are",
    "switch": "maintenance and boot are",
    "log.level": "loglevel is",
    "aside.give_up": "aside give-up is",
}
"""How an operator knows a call whose name on the wire is another one."""


class Asker(enum.Enum):
    """Who asks on the channel, as far as it is known."""

    ANYBODY = enum.auto()
    """In plain: the network says who it is."""
    NODE = enum.auto()
    """Another node's agent, by its certificate, for somebody whom that agent names."""
    OPERATOR = enum.auto()
    """An operator himself, by his own certificate: no node between can ask in his name."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first line from each end. By TLS, the name that counts is the certificate's."""

    cluster: str
    node: str
    """Empty: an operator, who is none."""
    software: str
    version: int = CHANNEL.newest
    """Of the greetings and of what may follow it; calls that one end does not know yet need no other one."""
    oldest_version: int = 0
    """0: no other one than ``version``."""

    @property
    def speaks(self) -> Spoken:
        """The versions of the channel."""
        return said(self.version, self.oldest_version)


def why_not(arguments: Any, node: str, asker: Asker) -> ApiError | None:
    """Why ``node`` does not answer the call of these ``arguments`` to ``asker``; ``None``: it does.

    ``arguments`` are of one of the classes of :mod:`manager.model.api_calls`.
    """
    if asker is Asker.OPERATOR:
        return None
    call, as_one = CALL_OF[type(arguments)], _AS_ONE if asker is Asker.NODE else ""
    if isinstance(arguments, VerifyArguments) and arguments.repair:
        return ApiError(
            ErrorKind.REFUSED,
            f"verify --repair is not asked of {node} from another node: what differs in the other copy is lost by it.",
            meaning="Nothing was changed, and nothing was compared.",
            remedy="Run it on the primary itself, without --node: "
            f"mirrorfarm verify {arguments.module} --repair.{as_one}",
        )
    if call in READING or (asker is Asker.NODE and call in STEERING):
        return None
    named, there = _COMMANDS.get(call, f"{call.replace('.', ' ')} is"), f"Run the command on {node}"
    if call in _THROUGH_ETCD:
        there = "Leave out --node before the command: by etcd it is the same from every node"
    elif isinstance(arguments, RequestArguments):
        named = f"{arguments.action} is"
        there = f"Put --node {node} behind the command: it is asked of {node} through etcd then"
    if call in STEERING:
        return ApiError(
            ErrorKind.REFUSED,
            f"{named} not asked of {node} from another node while tls.mode is off: the network would say who asks.",
            meaning=UNCHANGED,
            remedy=f'{there}; or have tls.mode = "on" in agent.toml of all nodes (mirrorfarm pki).',
        )
    return ApiError(
        ErrorKind.REFUSED,
        f"{named} not asked of {node} from another node.",
        meaning=UNCHANGED,
        remedy=f"{there}.{as_one}",
    )
