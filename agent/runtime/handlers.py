"""Every call to the one who answers it, for the local socket and for the agents' channel."""

from agent.adapters.calls import Handler
from agent.adapters.log_files import LogFiles
from agent.runtime.colleagues import Nobody, Others
from agent.runtime.handlers_aside import AsideHandlers
from agent.runtime.handlers_check import CheckHandlers
from agent.runtime.handlers_farm import FarmHandlers
from agent.runtime.handlers_log_levels import LogLevelHandlers
from agent.runtime.handlers_logs import LogHandlers
from agent.runtime.handlers_modules import ModuleHandlers
from agent.runtime.handlers_requests import RequestHandlers
from agent.runtime.handlers_snapshot import SnapshotHandlers
from agent.runtime.handlers_stakes import StakesHandlers
from agent.runtime.handlers_state import StateHandlers
from agent.runtime.handling import Seat
from agent.runtime.tasks import OnFatal
from agent.runtime.withdrawing import Withdrawing


def handlers(
    seat: Seat,
    files: LogFiles,
    on_fatal: OnFatal,
    check: CheckHandlers,
    snapshot: SnapshotHandlers,
    levels: LogLevelHandlers,
    others: Others | None = None,
) -> dict[str, Handler]:
    """By the names of ``manager.model.api_calls``.

    ``others``: asked for what only they know, as when etcd is silent; ``None``: nobody is.
    """
    state = StateHandlers(seat, others or Nobody())
    modules = ModuleHandlers(seat)
    logs = LogHandlers(seat, files)
    aside = AsideHandlers(seat)
    farm = FarmHandlers(seat)
    return {
        "node.info": state.node_info,
        "state": state.state,
        "why": state.why,
        "history": state.history,
        "stakes": StakesHandlers(seat).stakes,
        "module.show": state.show,
        "module.apply": modules.apply,
        "module.remove": modules.remove,
        "desired": modules.desired,
        "switch": modules.switch,
        "request": RequestHandlers(seat, Withdrawing(seat, on_fatal)).request,
        "logs": logs.logs,
        "verify": logs.verify,
        "diff": logs.diff,
        "check.facts": check.facts,
        "aside.list": aside.list_all,
        "aside.show": aside.show,
        "aside.restore": aside.restore,
        "aside.clear": aside.clear,
        "aside.give_up": aside.give_up,
        "farm.show": farm.show,
        "farm.where": farm.where,
        "farm.weight": farm.weight,
        "farm.traffic": farm.traffic,
        "snapshot": snapshot.snapshot,
        "log.levels": levels.levels,
        "log.level": levels.set,
        "replicator": snapshot.replicator,
    }
