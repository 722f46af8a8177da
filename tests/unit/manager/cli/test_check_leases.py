"""What check says of the nodes' leases, and of a node that promises nothing."""

from collections.abc import Iterable

from manager.cli.checks.finding import Finding, Level
from manager.cli.checks.leases import leases
from manager.model.api import NodeInfo, RegisteredNode


def node(name: str, ttl_ms: int = 10_000, *, promises: bool = True) -> RegisteredNode:
    return RegisteredNode(name, (), "1", "", ttl_ms=ttl_ms, promises=promises)


def told(nodes: Iterable[RegisteredNode]) -> list[Finding]:
    return list(leases(NodeInfo("main", "a", "1", True, tuple(nodes))))


def test_leases_of_one_length_are_well() -> None:
    (found,) = told([node("a"), node("b")])
    assert (found.level, found.says) == (Level.OK, "ttl 10 s, as on b")


def test_a_node_alone_says_its_own() -> None:
    (found,) = told([node("a", 4_000)])
    assert (found.level, found.says) == (Level.OK, "ttl 4 s")


def test_leases_of_different_lengths_are_named_with_their_nodes() -> None:
    (found,) = told([node("a"), node("b", 30_000), node("c")])
    assert found.level is Level.WARNING
    assert "10 s here" in found.says and "b 30 s" in found.says and "c " not in found.says
    assert "agent.toml" in found.remedy


def test_a_node_of_a_release_that_does_not_say_is_passed_over() -> None:
    (found,) = told([node("a"), node("b", 0)])
    assert (found.level, found.says) == (Level.OK, "ttl 10 s")


def test_without_ones_own_registration_nothing_is_said() -> None:
    assert told([node("b")]) == []


def test_a_node_that_promises_nothing_is_named() -> None:
    _, found = told([node("a"), node("b", promises=False)])
    assert found.level is Level.WARNING
    assert found.says.startswith("b cannot note") and "on b," in found.remedy
