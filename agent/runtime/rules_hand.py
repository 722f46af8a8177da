"""Has the kernel share a farm's connections as its core wants it: one load after the other, the newest wish alone.

What the core knows nothing of is the links: when one is another, or has another MAC, the same rules are loaded anew.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import structlog

from agent.adapters import nft
from agent.adapters.address_links import Links
from agent.core.farm import events
from agent.core.farm.commands import LoadRules
from agent.core.farm.nft_json import table_name
from agent.core.farm.nft_lasting import preparing
from agent.core.farm.nftables import FAMILIES, loading
from agent.core.farm.ruleset import Here, Port, Ruleset, ruleset
from agent.runtime.stranded_hand import StrandedHand
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.config.farm_config import RuleConfig
from manager.model.errors import DefiniteFailure, MirrorfarmError
from manager.time_limit import time_limit

_WORK, _KEEP = "rules", "keep"
KEEP_S = 5.0
"""So often it is looked at in any case whether the kernel has them still: whoever flushes all rules flushes these."""
LOOK_S = 0.1
"""No sooner is it looked again: somebody may change rules of his own all the time, and each change is told."""
AGAIN_S = 1.0
"""After a load for the links' sake that failed, or an unload."""


class RulesHand:
    """One module's rules in this node's kernel."""

    def __init__(
        self,
        module: str,
        node: str,
        seed: int,
        rules: tuple[RuleConfig, ...],
        stranded: StrandedHand,
        give: Callable[[events.Loaded | events.LoadFailed], None],
        on_fatal: OnFatal,
    ) -> None:
        """``seed``: of the hash, the same on all nodes. ``stranded`` ends what by the rules is other nodes'."""
        self._module = module
        self._node = node
        self._seed = seed
        self._rules = rules
        self._stranded = stranded
        self._give = give
        self._tasks = Tasks(on_fatal)
        self._ports: Mapping[str, Port] | None = None
        """``None``: not known yet."""
        self._indices: Mapping[str, int] = {}
        """A rule means the link that it was made for, and none that has its name later."""
        self._wanted: LoadRules | None = None
        self._answered: LoadRules | None = None
        """The last one that was answered."""
        self._stale = False
        """The kernel's rules are not those wanted, by these links."""
        self._prepared: frozenset[str] = frozenset()
        """What was made that outlasts the rules, and is there still as far as this agent knows."""
        self._left = False
        """They are to be taken out, and the kernel may have them still."""
        self._handles: frozenset[int] | None = None
        """Of the tables that they were loaded into; ``None``: they are not known."""
        self._look = asyncio.Event()
        self._log = structlog.get_logger().bind(module=module)

    @property
    def at_rest(self) -> bool:
        """None are wanted, and the kernel has none as far as this agent has given it any."""
        return self._wanted is None and not self._left and not self._tasks.running(_WORK)

    def linked(self, links: Links) -> None:
        """The links of the module's addresses are these."""
        ports = {address: Port(link.name, link.mac.hex(":")) for address, link in links.items() if link.mac}
        indices = {address: link.index for address, link in links.items()}
        if (ports, indices) != (self._ports, self._indices):
            self._ports, self._indices = ports, indices
            if self._wanted is not None:
                self._begin()

    def load(self, command: LoadRules) -> None:
        """Answered by Loaded or LoadFailed, unless another one comes before; by Loaded again once a link is there.

        Before the links are known nothing is loaded: what a former agent has loaded shares by them.
        """
        self._wanted, self._left = command, False
        self._begin()
        if not self._tasks.running(_KEEP):
            self._tasks.start(_KEEP, self._keep())

    def unload(self) -> None:
        """Take them out of the kernel, however often that has to be tried."""
        self._wanted, self._left = None, True
        self._begin()

    def look(self) -> None:
        """Somebody has taken tables out of the kernel."""
        self._look.set()

    async def kill(self) -> None:
        """Take them out at once, and else as soon as that can be; what was under way answers nothing."""
        self._wanted, self._left = None, True
        await self._tasks.cancel()
        if not await self._unload():
            self._begin()

    async def close(self) -> None:
        """Leave them as they are; to take out those that were to be taken out is tried once more."""
        await self._tasks.cancel()
        if self._left:
            await self._unload()

    def _begin(self) -> None:
        self._stale = True
        if not self._tasks.running(_WORK):
            self._tasks.start(_WORK, self._work())

    async def _work(self) -> None:
        while self._stale:
            self._stale = False
            wanted = self._wanted
            done = await self._unload() if wanted is None else await self._load(wanted)
            if not done:
                await asyncio.sleep(AGAIN_S)
                self._stale = True

    async def _keep(self) -> None:
        """Until none are wanted: load them again when they have gone."""
        while self._wanted is not None:
            with contextlib.suppress(TimeoutError):
                async with time_limit(KEEP_S):
                    await self._look.wait()
            if not self._tasks.running(_WORK):
                self._look.clear()
                if self._wanted is self._answered:
                    await self._look_for_them()
            await asyncio.sleep(LOOK_S)

    async def _look_for_them(self) -> None:
        known = self._handles
        try:
            there = (await nft.loaded()).get(self._module)
        except MirrorfarmError as failure:
            self._log.warning("rules.unknown", error=str(failure))
            return
        if self._tasks.running(_WORK) or self._handles is not known:
            self._look.set()  # They have been loaded since.
        elif self._wanted is not None and (there is None or known not in (None, there)):
            self._lost(are_others=there is not None)
        else:
            self._handles = there

    def _lost(self, *, are_others: bool) -> None:
        self._log.error(
            "rules.lost",
            meaning="somebody else has replaced them by a copy of former ones: this node shared by these meanwhile"
            if are_others
            else "somebody else removed them: this node shared nothing meanwhile, and connections of other nodes that "
            "came here were reset",
            remedy="keep nftables.service and other firewalls from flushing all rules (flush ruleset), and from "
            "loading rules of ours that were saved",
        )
        self._prepared, self._handles = frozenset(), None
        self._stranded.forget()  # What began meanwhile began here, whoever has its slot.
        self._begin()

    async def _learn(self) -> None:
        """Which tables they are in. Where nft does not say, those of the next look count."""
        try:
            self._handles = (await nft.loaded()).get(self._module)
        except MirrorfarmError as failure:
            self._log.warning("rules.unknown", error=str(failure))

    async def _load(self, command: LoadRules) -> bool:
        """Whether nothing is left to be done for it here: it is the core that tries its commands again."""
        if self._ports is None:
            return True  # It begins once they are known.
        here = Here(self._module, self._node, self._seed, self._rules, self._ports)
        try:
            rules = ruleset(here, command.tables, command.macs)
            await self._give_to_kernel(rules)
        except MirrorfarmError as failure:
            self._log.error("rules.refused", error=str(failure))
            if command is not self._wanted:
                return True
            if command is self._answered:
                return False
            self._answered = command
            self._give(events.LoadFailed(str(failure)))
            return True
        self._log.info("rules.loaded", **rules.numbers)
        if command is self._wanted:
            tables = {address: table for address, table in command.tables.items() if address in rules.numbers}
            await self._stranded.loaded(tables, self._indices)
        if command is self._wanted:
            self._answered = command
            self._give(events.Loaded(rules.numbers))
        if self._handles is None:
            await self._learn()
        return True

    async def _give_to_kernel(self, rules: Ruleset) -> None:
        """What outlasts the rules is made once. Raises as ``nft.load``."""
        needed = preparing(rules)
        if frozenset(needed.splitlines()) <= self._prepared:
            try:
                return await nft.load(loading(rules))
            except DefiniteFailure:
                # Somebody may have removed it.
                self._prepared, self._handles = frozenset(), None
        await nft.prepare(needed)
        self._prepared |= frozenset(needed.splitlines())
        await nft.load(loading(rules))

    async def _unload(self) -> bool:
        """Whether the kernel has none of them any more."""
        self._prepared, self._handles = frozenset(), None
        self._stranded.forget()
        try:
            await nft.unload(self._module)
        except MirrorfarmError as failure:
            self._log.error(
                "rules.left",
                error=str(failure),
                meaning="they share nothing while no frames come here; it is tried again to remove them",
                remedy=" and ".join(f"nft delete table {family} {table_name(self._module)}" for family in FAMILIES),
            )
            return False
        self._left = False
        self._log.info("rules.unloaded")
        return True
