"""What check says of the streams: what the agent sees of them, with what to do."""

from dataclasses import replace

from manager.cli.checks.finding import Finding, Level
from manager.cli.checks.streams import streams
from manager.model.api import NodeState
from manager.model.refused_streams import NOBODY, UNREACHABLE, RefusedStream
from manager.model.states import ModuleState, Readiness
from tests.unit.manager.cli.views import ALONE, PRIM, SECOND, module, node, result

REFUSED = RefusedStream("b", "10.0.0.2", UNREACHABLE, "", NOBODY, "2026-11-26T03:00:00Z", 7)


def look(*nodes: NodeState, holders: tuple[str, ...] = ("a", "b")) -> list[Finding]:
    return list(streams(result(module(*nodes, holders=holders))))


def test_a_stream_that_stands_is_in_order() -> None:
    [found] = look(PRIM, SECOND)
    assert (found.level, found.subject) == (Level.OK, "db: stream")


def test_one_that_does_not_come_about_is_told_with_why_and_what_to_do() -> None:
    [found] = look(replace(ALONE, refused=(REFUSED,)), SECOND, holders=("a",))
    assert found.level is Level.WARNING and "b does not answer at 10.0.0.2" in found.says
    assert "no firewall drops what goes to 10.0.0.2" in found.remedy


def test_where_the_replicator_has_not_said_it_is_unknown() -> None:
    [found] = look(replace(ALONE, refused=None), SECOND, holders=("a",))
    assert found.level is Level.UNKNOWN and found.remedy == "mirrorfarm why db"


def test_nothing_is_said_where_none_is_wanted_or_it_is_on_its_way() -> None:
    assert look(node("a", ModuleState.STOP), SECOND) == []
    assert look(replace(PRIM, readiness=Readiness.TRANSIENT), SECOND) == []
    assert look(replace(ALONE, refused=()), SECOND, holders=("a",)) == []
