"""Modules as tests need them: two nodes, a and b."""

from manager.model.api import ModuleView, NodeState, StateResult
from manager.model.reasons import Reason
from manager.model.resources import KeptAside, with_aside
from manager.model.states import ModuleKind, ModuleState, Readiness, Run


def node(
    name: str,
    state: ModuleState | None,
    readiness: Readiness | None = Readiness.READY,
    reason: str = "",
    *,
    registered: bool | None = True,
    listed: bool | None = True,
    wanted: Run | None = Run.STARTED,
) -> NodeState:
    return NodeState(
        node=name,
        state=state,
        readiness=readiness if state is not None else None,
        reason=reason,
        wanted=wanted,
        registered=registered,
        listed=listed,
        resources=with_aside({}, KeptAside(0, 0)) if state is not None else {},
    )


def module(*nodes: NodeState, primary: str = "a", holders: tuple[str, ...] | None = ("a", "b")) -> ModuleView:
    return ModuleView("db", ModuleKind.MIRROR, 1, nodes, primary, 3, holders, "a")


def result(*modules: ModuleView, reachable: bool = True, age_ms: int = 0) -> StateResult:
    return StateResult("prod", "a", reachable, age_ms, modules)


PRIM = node("a", ModuleState.PRIM, reason=Reason.SERVING)
SECOND = node("b", ModuleState.SECOND, reason=Reason.IN_SYNC)
ALONE = node("a", ModuleState.ALONE, reason=Reason.SERVING_WITHOUT_PEER)
GONE = node("b", None, registered=False, listed=False)
