"""A farm's ports whose TCP connections are shared, with how each connection's slot is told from outside."""

from collections.abc import Callable, Iterable

from agent.adapters.slot_connections import SharedPorts
from agent.core.farm.hashing import slot_of
from manager.model.config import Protocol, RuleConfig
from manager.model.config.farm_config import Affinity


def shared_ports(rules: Iterable[RuleConfig], address: str, seed: int) -> tuple[SharedPorts, ...]:
    """Of ``address``; ``seed``: of the hash."""

    def slot_by(affinity: Affinity) -> Callable[[str, int], int]:
        return lambda peer, port: slot_of(peer, port, affinity, seed)

    return tuple(
        SharedPorts(rule.first_port, rule.last_port, slot_by(rule.affinity))
        for rule in rules
        if rule.protocol is Protocol.TCP and rule.covers(address)
    )
