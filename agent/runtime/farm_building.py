"""Makes the runtime of one farm module: its core's settings and its hands, from its configuration and this node's."""

import dataclasses
from collections.abc import Callable
from functools import partial

from agent.adapters.address_links import AddressLinks
from agent.adapters.addresses import VirtualAddresses
from agent.adapters.held_addresses import HeldAddresses
from agent.adapters.probe_messages import Module
from agent.core import events as common
from agent.core.farm import events
from agent.core.farm.farm import Settings
from agent.core.farm.hashing import seed_of
from agent.runtime.address_hand import AddressHand
from agent.runtime.application_hand import ApplicationHand
from agent.runtime.building import MS_NS, Applications, Surroundings, longest_start_ms, longest_stop_ms
from agent.runtime.directing_hand import AddressEvent, DirectingHand
from agent.runtime.farm_runtime import FarmHands, FarmRuntime
from agent.runtime.figures_hand import FiguresHand
from agent.runtime.holding_hand import HoldingHand
from agent.runtime.members_hand import MembersHand
from agent.runtime.rules_hand import RulesHand
from agent.runtime.running_config import RunningConfig
from agent.runtime.store_hand import StoreHand
from agent.runtime.stranded_hand import StrandedHand
from agent.runtime.traffic_hand import TrafficHand
from manager.model.config import FarmConfig, application_of
from manager.model.errors import InvariantViolated
from manager.model.records import ModuleConfigRecord


def make_farm(
    around: Surroundings, cluster_id: str, record: ModuleConfigRecord, module: FarmConfig, *, left: bool
) -> FarmRuntime:
    """The runtime of ``module``, as ``record`` has it; ``left``: a former agent ran it here by that."""
    settings = Settings(
        cluster=around.view.cluster,
        node=around.config.node,
        config=module,
        boot_id=around.boot_id,
        module_id=record.module_id,
        generation=record.generation,
        start_limit_ns=longest_start_ms(module) * MS_NS,
        stop_limit_ns=longest_stop_ms(module) * MS_NS,
    )
    runtime = FarmRuntime(
        settings,
        record,
        around.view,
        lambda runtime: _hands(around, cluster_id, settings, runtime),
        around.on_fatal,
        left=left,
    )
    runtime.longest_stop_s = longest_stop_ms(module) / 1000
    return runtime


def _hands(around: Surroundings, cluster_id: str, settings: Settings, runtime: FarmRuntime) -> FarmHands:
    name, places, config, fatal = settings.module, around.places, settings.config, around.on_fatal
    module, seed = Module(cluster_id, settings.module_id), seed_of(settings.module_id)
    applications = Applications(around, settings.node, settings.module_id)
    by_ip = {a.ip: a for a in config.addresses}

    def application_told(event: common.ApplicationEvent | common.FenceEnded) -> None:
        if isinstance(event, common.FenceEnded):
            raise InvariantViolated(f"{name}: a farm has nothing to fence")
        runtime.give(event)

    def make_hand(address: str, give: Callable[[AddressEvent], None]) -> AddressHand:
        # The connections stay: this node has the address on its loopback too.
        wanted = dataclasses.replace(by_ip[address], reset_connections=False)
        # Where the rules are, they are: on the link that is the right one (AddressLinks).
        virtual = VirtualAddresses(
            (wanted,), around.netlink, around.links, around.marks, lambda error: runtime.address_trouble(str(error)),
            stays=False,
        )  # fmt: skip
        return AddressHand(name, virtual, give, lambda: runtime.serve_until_ns, fatal)

    def endpoints() -> tuple[str, ...]:
        others = [n for n in around.view.keys.nodes() if n.node in config.nodes and n.node != settings.node]
        return tuple(n.addresses[0] for n in others if n.addresses)

    give: Callable[[events.Event], None] = runtime.give
    return FarmHands(
        store=StoreHand(name, settings.node, around.store, around.view, around.keeper, give, fatal),
        application=ApplicationHand(
            name,
            applications.of(application_of(config)),
            places.application_marker(name),
            # With scripts of another configuration than the rules it would be reached where it does not listen.
            lambda: None,
            application_told,
            runtime.publish_again,
            fatal,
        ),
        rules=RulesHand(
            name,
            settings.node,
            seed,
            config.rules,
            StrandedHand(name, settings.node, seed, config.rules),
            give,
            fatal,
        ),
        holding=HoldingHand(
            name, HeldAddresses(config.addresses, around.netlink, around.link_settings, around.marks), give, fatal
        ),
        directing=DirectingHand(settings.addresses, make_hand, give),
        members=MembersHand(config, module, seed, around.probing, give, partial(around.keeper.hasten, name), fatal),
        links=AddressLinks(config.addresses, around.netlink, around.links, around.marks),
        tables=around.tables,
        note=RunningConfig(places.run(name)),
        traffic=TrafficHand(places.traffic_note(name), give),
        figures=FiguresHand(config, settings.node, module, around.probing, endpoints, fatal),
    )
