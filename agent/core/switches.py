"""The operator's switches of a module, which stand in the desired records and survive restarts. Pure."""

from agent.core.state import MirrorState
from manager.model.config.module_config import Failover
from manager.model.records import FAILOVER, OFF


def failover_is_off(state: MirrorState) -> bool:
    """No node takes over, or hands over, by itself: the configuration says so, or the module is in maintenance.

    Maintenance is switched for all nodes of a module at once; one that has it is enough.
    """
    if state.settings.failover is Failover.OFF:
        return True
    desired = {} if state.view is None else state.view.desired
    return any(n in desired and desired[n].switches.get(FAILOVER) == OFF for n in state.settings.nodes)
