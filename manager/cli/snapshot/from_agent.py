"""What a node's agent has to say, for a snapshot: states, causes, history, modules as they were applied, replicators.

Each call is bounded; an agent that does not answer the first one is asked nothing more.
"""

import json
from functools import partial
from typing import Any, Final

from manager.cli.client import AgentClient
from manager.cli.snapshot.collector import Collector
from manager.model.api import (
    ApiError,
    ModuleView,
    NodeInfo,
    NodeInfoArguments,
    StateArguments,
    StateResult,
    WhyArguments,
)
from manager.model.api_asides import AsideListArguments
from manager.model.api_farm import FarmShowArguments
from manager.model.api_modules import ModuleFolder, ShowArguments
from manager.model.api_requests import HistoryArguments
from manager.model.api_snapshot import ReplicatorArguments
from manager.model.api_verify import DiffArguments
from manager.model.codec import to_plain
from manager.model.states import ModuleKind, ModuleState

CALL_S: Final = 8.0
DIFF_S: Final = 14.0
"""A replicator looks for ten seconds at the most."""
_BEYOND_S: Final = 12.0
"""What the client's own bounds, of connecting and sending, come to."""
MOST_HISTORY: Final = 1000
MOST_TAKEOVERS: Final = 50
_SERVES: Final = (ModuleState.PRIM, ModuleState.ALONE)


class FromAgent:
    """Asks one agent."""

    def __init__(self, client: AgentClient, collector: Collector) -> None:
        self._client = client
        self._collector = collector

    def take_all(self) -> None:
        """Everything; what is not answered is noted."""
        info = self._call("agent/info.json", NodeInfoArguments())
        if info is None:
            self._collector.note("agent", "it was asked nothing more: its states, causes and history are not here")
            return
        state: StateResult | None = self._call("agent/state.json", StateArguments(takeovers=MOST_TAKEOVERS))
        for module in state.modules if state is not None else ():
            self._module(info, module)

    def _module(self, info: NodeInfo, module: ModuleView) -> None:
        name = module.name
        folder: ModuleFolder | None = self._call(f"modules/{name}/applied.json", ShowArguments(name), shown=_unscripted)
        if folder is not None:
            self._collector.text(f"modules/{name}/module.toml", lambda: folder.toml)
            for script in folder.scripts:
                what = f"modules/{name}/scripts/{script.replace('/', '_')}"
                self._collector.text(what, partial(folder.scripts.__getitem__, script))
        here = module.on(info.node)
        if here is None:
            return
        self._call(f"agent/{name}/why.json", WhyArguments(name))
        if module.kind is ModuleKind.FARM:
            self._call(f"agent/{name}/farm.json", FarmShowArguments(name))
        elif module.kind is ModuleKind.MIRROR:
            self._call(f"agent/{name}/history.json", HistoryArguments(name, MOST_HISTORY))
            if here.state is not ModuleState.STOP:
                self._call(f"agent/{name}/replicator.json", ReplicatorArguments(name))
                self._call(f"agent/{name}/set_aside.json", AsideListArguments(name))
            if here.state in _SERVES:
                self._call(f"agent/{name}/diff.json", DiffArguments(name), DIFF_S)

    def _call(self, what: str, arguments: Any, seconds: float = CALL_S, shown: Any = to_plain) -> Any:
        """The answer, which was put into the file; ``None``: there was none."""
        answer = self._collector.had(what, lambda: self._client.call(arguments, timeout_s=seconds), seconds + _BEYOND_S)
        if answer is not None:
            self._collector.json(what, lambda: json.dumps(shown(answer)))
        return answer


def _unscripted(folder: ModuleFolder) -> Any:
    plain = to_plain(folder)
    return {name: plain[name] for name in ("module", "generation", "applied_at", "applied_by")}


def known_nodes(client: AgentClient) -> tuple[str, tuple[str, ...], str]:
    """The node whose agent answers, all that it knows of, and why that may not be all; empty: it is.

    Raises:
        ApiError: it does not answer.
    """
    info: NodeInfo = client.call(NodeInfoArguments(), timeout_s=CALL_S)
    names, why = {info.node, *info.known, *(n.node for n in info.nodes)}, ""
    try:
        state: StateResult = client.call(StateArguments(takeovers=0), timeout_s=CALL_S)
    except ApiError as error:
        why = f"which there are is not known: {error.message}"
    else:
        names |= {node.node for module in state.modules for node in module.nodes}
        names |= {node.node for node in state.around.nodes} if state.around is not None else set()
    return info.node, tuple(sorted(names)), why
