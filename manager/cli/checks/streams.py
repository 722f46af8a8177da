"""The streams of this node's mirrors, as its agent sees them: the ports by which they come are tried by them alone.

A connection of anybody else's would count as a stranger's at the other end. Pure.
"""

from collections.abc import Iterator

from manager.cli.checks.finding import Finding, ok, unknown, warning
from manager.cli.refused_words import UNTOLD, is_untold, refused_lines, refused_remedies
from manager.model.api import ModuleView, StateResult
from manager.model.states import ModuleKind, ModuleState, Readiness


def streams(seen: StateResult) -> Iterator[Finding]:
    """One of each mirror that runs on this node, and has, or should have, a stream."""
    for module in seen.modules:
        subject = f"{module.name}: stream"
        own = module.on(seen.node)
        if module.kind is not ModuleKind.MIRROR or own is None:
            continue
        if refused := refused_lines(module, seen.node):
            said = "; ".join(line.removeprefix(f"{module.name}: ") for line in refused)
            yield warning(
                subject, f"{said}. No copy is kept up to date.", " ".join(refused_remedies(module, seen.node))
            )
        elif is_untold(module, seen.node):
            yield unknown(subject, UNTOLD, f"mirrorfarm why {module.name}")
        elif _stands(module, own.state, own.readiness):
            yield ok(subject, "both copies are kept up to date by it")


def _stands(module: ModuleView, state: ModuleState | None, readiness: Readiness | None) -> bool:
    both = module.holders is not None and len(module.holders) > 1
    return both and state in (ModuleState.PRIM, ModuleState.SECOND) and readiness is Readiness.READY
