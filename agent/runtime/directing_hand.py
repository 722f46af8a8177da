"""Has this node answer the network for a farm's addresses, each by itself, until the core's last deadline."""

from collections.abc import Callable, Mapping

from agent.core import events as common
from agent.core.farm import commands, events
from agent.runtime.address_hand import AddressHand
from manager.model.errors import InvariantViolated

Event = events.Directing | events.DirectFailed | events.Undirected
AddressEvent = common.AddressesAdded | common.AddressesFailed | common.AddressesDropped


class DirectingHand:
    """The addresses of one module on this node's links."""

    def __init__(
        self,
        addresses: tuple[str, ...],
        make_hand: Callable[[str, Callable[[AddressEvent], None]], AddressHand],
        give: Callable[[Event], None],
    ) -> None:
        """``make_hand``: of one address, to whom its answers go."""
        self._give = give
        self._hands: Mapping[str, AddressHand] = {a: make_hand(a, self._hearing(a)) for a in addresses}

    def direct(self, command: commands.Direct) -> None:
        """Answered by Directing or DirectFailed."""
        self._hands[command.address].add(probed=command.probed)

    def undirect(self, address: str) -> None:
        """Answered by Undirected."""
        self._hands[address].drop()

    def renew(self) -> None:
        """The deadline has moved."""
        for hand in self._hands.values():
            hand.renew()

    async def kill(self) -> None:
        """Answer for none; nothing is said of it."""
        for hand in self._hands.values():
            await hand.kill()

    async def close(self) -> None:
        """Leave them to their lives in the kernel."""
        for hand in self._hands.values():
            await hand.close()

    def _hearing(self, address: str) -> Callable[[AddressEvent], None]:
        def heard(event: AddressEvent) -> None:
            match event:
                case common.AddressesAdded():
                    self._give(events.Directing(address))
                case common.AddressesFailed(in_use, detail):
                    self._give(events.DirectFailed(address, in_use, detail))
                case common.AddressesDropped():
                    self._give(events.Undirected(address))
                case _:
                    raise InvariantViolated(f"{address}: {event}")

        return heard
