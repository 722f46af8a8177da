"""What an agent does before it begins: it ends what a crashed one left, save for what may still be adopted (S7).

What may be adopted is a replicator that lives: whether it is, is decided when etcd has been heard. Everything else goes
at once: addresses, applications without a replicator, mounts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from agent.adapters.addresses import remove_leftovers
from agent.adapters.host import remove_leftover_mounts
from agent.adapters.replicator_process import RunFiles
from agent.adapters.replicators import find_modules
from agent.runtime.building import RunningConfig, Surroundings
from agent.runtime.replicator_hand import end_replicator, lives
from manager.model.config import parse_module
from manager.model.errors import ConfigError, MirrorfarmError
from manager.model.records import ModuleConfigRecord


@dataclass(frozen=True, slots=True)
class Former:
    """What a former agent left that lives."""

    living: Mapping[str, ModuleConfigRecord] = field(default_factory=dict)
    """Module to the configuration with which its replicator was started."""


async def clean_up(around: Surroundings) -> Former:
    """End what cannot be adopted; what can, is returned.

    A failure is told in the log and does not keep the agent from starting: what is left has its own end.
    """
    log = structlog.get_logger()
    living: dict[str, ModuleConfigRecord] = {}
    for module in await find_modules(around.config.paths.run):
        run = around.places.run(module)
        record = RunningConfig(run).read()
        if record is not None and lives(run):
            living[module] = record
            log.info("replicator.found", module=module)
        else:
            await end_module(around, module)
    keep = [address for record in living.values() for address in _addresses(record)]
    try:
        removed = await remove_leftovers(around.netlink, around.marks, keep)
    except MirrorfarmError as failure:
        log.error("address.left", error=str(failure))
    else:
        if removed:
            log.info("address.removed", addresses=removed, of="former agent")
    return Former(living)


async def end_module(around: Surroundings, module: str) -> None:
    """End everything that a former agent left of ``module``: application, replicator, mounts, files."""
    log = structlog.get_logger().bind(module=module)
    run = around.places.run(module)
    spec, record = RunFiles(run).read_spec(), RunningConfig(run).read()
    try:
        lived = await end_replicator(run)
        mounts = await remove_leftover_mounts(spec.directories) if spec is not None else ()
        removed: tuple[str, ...] = ()
        if record is not None:
            wanted = set(_addresses(record))
            others = [str(a.address) for a in await around.netlink.addresses() if str(a.address) not in wanted]
            removed = await remove_leftovers(around.netlink, around.marks, others)
    except MirrorfarmError as failure:
        log.error("module.left", error=str(failure))
    else:
        log.info("module.removed", of="former agent", replicator_lived=lived, mounts=mounts, addresses=removed)
    RunningConfig(run).remove()


def _addresses(record: ModuleConfigRecord) -> tuple[str, ...]:
    try:
        return tuple(a.ip for a in parse_module(record.toml, record.scripts).addresses)
    except ConfigError:
        return ()
