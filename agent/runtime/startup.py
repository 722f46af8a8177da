"""What an agent does before it begins: it ends what a crashed one left, save for what may still be adopted (S7).

What may be adopted is a replicator that lives, and a farm that was running: whether it is, is decided when etcd has
been heard. Everything else goes at once: addresses, applications without a replicator, mounts. Where something lives
beside it, that is not kept waiting: what does not go by a kill may take as long as it has left.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from agent.adapters import nft, scripts
from agent.adapters.cgroups import module_cgroup
from agent.adapters.held_addresses import remove_leftovers, remove_named
from agent.adapters.host import remove_leftover_mounts
from agent.adapters.replicator_process import RunFiles
from agent.adapters.replicators import find_modules
from agent.runtime.building import Applications, Surroundings, longest_stop_ms
from agent.runtime.left_application import stop_left
from agent.runtime.replicator_hand import KILL_SECONDS, end_replicator, lives
from agent.runtime.running_config import RunningConfig
from manager.model.config import AnyModule, FarmConfig, ModuleConfig, application_of, parse_module
from manager.model.errors import ConfigError, MirrorfarmError
from manager.model.records import ModuleConfigRecord


@dataclass(frozen=True, slots=True)
class Former:
    """What a former agent left, when this one begins."""

    living: Mapping[str, ModuleConfigRecord] = field(default_factory=dict)
    """Module to the configuration with which its replicator was started, or the farm."""
    to_end: tuple[str, ...] = ()
    """Other modules, of which everything is yet to be ended, beside what lives."""


async def clean_up(around: Surroundings) -> Former:
    """End what cannot be adopted; where something can be, that goes first: what to end beside it is returned.

    A failure is told in the log and does not keep the agent from starting: what is left has its own end.
    """
    log = structlog.get_logger()
    living = _farms(around)
    to_end: list[str] = []
    for module in living:
        log.info("farm.found", module=module)
    for module in await find_modules(around.config.paths.run):
        run = around.places.run(module)
        record = RunningConfig(run).read()
        if record is not None and lives(run):
            living[module] = record
            log.info("replicator.found", module=module)
        else:
            to_end.append(module)
    if living:
        return Former(living, tuple(to_end))
    for module in to_end:
        await end_module(around, module)
    return Former()


async def remove_left_addresses(around: Surroundings, former: Former) -> None:
    """Remove all addresses that a former agent added, but for those of what may be adopted."""
    log = structlog.get_logger()
    keep = [address for record in former.living.values() for address in _addresses(record)]
    try:
        removed = await remove_leftovers(around.netlink, around.link_settings, around.marks, keep)
    except MirrorfarmError as failure:
        log.error("address.left", error=str(failure))
    else:
        if removed:
            log.info("address.removed", addresses=removed, of="former agent")


async def end_module(around: Surroundings, module: str) -> None:
    """End everything that a former agent left of ``module``: application, replicator, mounts, addresses, rules, files.

    A farm's application is stopped by its own scripts before it is killed: as long as those may take, this takes. One
    step that fails keeps none of the others from being tried. A farm's rules go last: as long as frames come here, they
    go where they belong. The note of what ran goes when all has gone, so that the next agent tries again.
    """
    log = structlog.get_logger().bind(module=module)
    run = around.places.run(module)
    spec, record = RunFiles(run).read_spec(), RunningConfig(run).read()
    ended: dict[str, object] = {}
    parsed = None if record is None else _parsed(record)
    farm = parsed if isinstance(parsed, FarmConfig) else None

    async def stop_application() -> None:
        if farm is not None and record is not None:
            application = Applications(around, around.config.node, record.module_id).of(application_of(farm))
            marker = around.places.application_marker(module)
            await stop_left(application, module, marker, longest_stop_ms(farm) / 1000)

    async def end_application() -> None:
        if farm is not None:
            application = module_cgroup(module, "app", around.cgroup_base)
            await application.kill(KILL_SECONDS)
            application.remove()
            scripts.remove(around.places.scripts(module))

    async def end_mirror() -> None:
        cgroup = ""
        if isinstance(parsed, ModuleConfig) and record is not None:
            applications = Applications(around, around.config.node, record.module_id)
            cgroup = applications.of(application_of(parsed)).cgroup
        ended["replicator_lived"] = await end_replicator(run, cgroup)
        ended["mounts"] = await remove_leftover_mounts(spec.directories) if spec is not None else ()

    async def remove_addresses() -> None:
        if record is not None:
            named = _addresses(record)
            ended["addresses"] = await remove_named(around.netlink, around.link_settings, around.marks, named)

    async def unload_rules() -> None:
        if farm is not None:
            await nft.unload(module)

    failed = False
    for step in (stop_application, end_application, end_mirror, remove_addresses, unload_rules):
        try:
            await step()
        except MirrorfarmError as failure:
            failed = True
            log.error("module.left", error=str(failure))
    log.info("module.removed", of="former agent", whole=not failed, **ended)
    if not failed:
        for note in (around.places.application_marker(module), around.places.traffic_note(module)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(note)
        RunningConfig(run).remove()


def _farms(around: Surroundings) -> dict[str, ModuleConfigRecord]:
    """Those that were noted as running, by name."""
    try:
        names = sorted(os.listdir(around.config.paths.run))
    except FileNotFoundError:
        return {}
    found = ((name, RunningConfig(around.places.run(name)).read()) for name in names)
    return {n: record for n, record in found if record is not None and isinstance(_parsed(record), FarmConfig)}


def _parsed(record: ModuleConfigRecord) -> AnyModule | None:
    try:
        return parse_module(record.toml, record.scripts)
    except ConfigError:
        return None


def _addresses(record: ModuleConfigRecord) -> tuple[str, ...]:
    module = _parsed(record)
    return tuple(a.ip for a in module.addresses) if module is not None else ()
