"""The call ``stakes``: what is known of what a forced start on one node would lose (S12).

It answers from what was last heard of etcd, and decides nothing: whether such a start is taken is that node's core's.
"""

from agent.adapters.calls import Caller, Report
from agent.api_view import Keys, parsed_config
from agent.runtime.handling import Seat, unknown_node
from agent.runtime.kind_of_module import refuse_farm
from manager.model.api_requests import Stakes, StakesArguments
from manager.model.records import HistoryRecord, KnownNode, LackingRecord

FENCE = "fence"
MOST_HISTORY = 20


class StakesHandlers:
    """Answers from the view."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def stakes(self, arguments: StakesArguments, caller: Caller, report: Report) -> Stakes:
        """What is known."""
        seat, module = self._seat, arguments.module
        refuse_farm(seat, module, "a forced start")
        shown, node = seat.module_view(module), arguments.node or seat.node
        on = shown.on(node)
        if on is None:
            raise unknown_node(module, node, tuple(n.node for n in shown.nodes))
        keys, view, last = seat.view.keys, seat.view, shown.last_primary
        disk_epoch = None if on.disk is None else on.disk.copy_epoch
        lacking = keys.record(LackingRecord, view.cluster.module(module).lacking(node))
        known = keys.record(KnownNode, view.cluster.known(last)) if last else None
        config = parsed_config(seat.config(module))
        return Stakes(
            module=module,
            node=node,
            store_reachable=view.reachable,
            epoch=shown.epoch,
            disk_epoch=disk_epoch,
            last_primary=last,
            registered=view.cluster.node(last) in keys.values if last and view.reachable else None,
            away_ms=view.absent_ms(last) if last and view.reachable else None,
            addresses=None if known is None else known.addresses,
            addresses_at="" if known is None else known.at,
            lacking=lacking,
            served_since=_served_since(keys, module, disk_epoch, lacking),
            fence_script=config is not None and FENCE in config.scripts,
        )


def _served_since(
    keys: Keys, module: str, disk_epoch: int | None, lacking: LackingRecord | None
) -> tuple[HistoryRecord, ...]:
    """Whose writes the copy may lack, the oldest first.

    A disk notes the epoch that it follows in before it has anything of it: where the primary told when it began to
    serve without this copy, that counts.
    """
    before = (disk_epoch or 0) if lacking is None else lacking.epoch - 1
    later = [entry for entry in keys.history(module) if entry.epoch > before]
    return tuple(reversed(later[:MOST_HISTORY]))
