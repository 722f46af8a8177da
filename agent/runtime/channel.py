"""This node's end of the agents' channel, for the life of its agent: it is opened when that can be, and looked after.

Without it this node answers its own operators all the same.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog

from agent.adapters.calls import Calls
from agent.adapters.channel_server import ChannelServer
from manager.model.api_channel import APPLICATION, OPERATING, STEERING, Greeting
from manager.model.config import AgentConfig, TlsMode
from manager.model.errors import DefiniteFailure, MirrorfarmError
from manager.model.node_identity import NodeIdentity
from manager.pki.credentials import Credentials, Unusable

AGAIN_S = 5.0

Later = Callable[[], Awaitable[tuple[str, ...]]]


def credentials_of(config: AgentConfig) -> Credentials | None:
    """What this node shows the others' agents; ``None``: the channel is plain."""
    if config.tls.mode is TlsMode.OFF:
        return None
    return Credentials(config.tls.directory, config.node, APPLICATION, _told_taken, _told_refused)


class Channel:
    """Where the other nodes' agents ask this one."""

    def __init__(
        self,
        calls: Calls,
        greeting: Greeting,
        credentials: Credentials | None,
        addresses: Sequence[str],
        port: int,
        later: Later | None = None,
        of_operators: Calls | None = None,
    ) -> None:
        """Not open yet; ``later`` tells at which addresses else, now: these may change while it is open.

        ``of_operators``: what is answered to operators, who come by their own certificates; ``None``: the same.
        """
        self._server = ChannelServer(
            calls, greeting, credentials, _told_turned_away, _told_asked, of_operators=of_operators
        )
        self._credentials = credentials
        self._addresses = tuple(dict.fromkeys(addresses))
        self._port = port
        self._later = later

    async def open(self) -> None:
        """Listen at all addresses; each is tried until it can be, since nothing else depends on it.

        It goes on for as long as an address may come.
        """
        if self._credentials is not None:
            with contextlib.suppress(Unusable):  # The log has been told why; new files are looked for all the time.
                self._credentials.contexts()
        is_open, told, come = set[str](), set[str](), tuple[str, ...]()
        while True:
            come = await self._come(come)
            wanted = {*self._addresses, *come}
            for address in sorted(is_open - wanted):
                self._server.shut(address)
            missing = [a for a in (*self._addresses, *sorted(wanted - {*self._addresses})) if a not in is_open]
            is_open = wanted - set(await self._open(missing, told))
            if self._later is None and is_open == wanted:
                return
            await asyncio.sleep(AGAIN_S)

    async def _come(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """What has come by now; where that cannot be told, what was ``known``."""
        if self._later is None:
            return ()
        try:
            return await self._later()
        except MirrorfarmError as failure:
            structlog.get_logger().debug("addresses.unseen", error=str(failure))
            return known

    async def _open(self, addresses: Sequence[str], told: set[str]) -> tuple[str, ...]:
        """Those of ``addresses`` at which it cannot be; why, is told once."""
        left, log = [], structlog.get_logger()
        for address in addresses:
            try:
                await self._server.open(address, self._port)
            except DefiniteFailure as failure:
                left.append(address)
                if str(failure) not in told:
                    told.add(str(failure))
                    log.error("channel.closed", error=str(failure))
            else:
                log.info("channel.opened", address=address, port=self._port, tls=self._credentials is not None)
        return tuple(left)

    async def close(self) -> None:
        """Answer nobody any more."""
        await self._server.close()


def _told_taken(own: NodeIdentity) -> None:
    structlog.get_logger().info("tls.files_taken", identity=own.uri)


def _told_refused(why: str, former: bool) -> None:
    means = "the former ones stay in use" if former else "other nodes are not asked, and not answered"
    structlog.get_logger().error("tls.files_refused", reason=why, means=means)


def _told_turned_away(address: str, reason: str, detail: str) -> None:
    structlog.get_logger().warning("channel.refused", address=address, reason=reason, detail=detail)


def _told_asked(caller: str, call: str) -> None:
    log = structlog.get_logger()
    (log.info if call in STEERING | OPERATING else log.debug)("channel.asked", caller=caller, call=call)
