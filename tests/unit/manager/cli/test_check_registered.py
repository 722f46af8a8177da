"""What check says of addresses that came after the agent's start."""

from manager.cli.checks.finding import Finding, Level
from manager.cli.checks.registered import registered
from manager.model.config import NetworkConfig
from manager.model.records import KnownNode, NodeRecord

ANY = NetworkConfig()


def look(network: NetworkConfig, first: tuple[str, ...], all_: tuple[str, ...]) -> list[Finding]:
    record = NodeRecord("a", first, "1", "boot", "i", 0)
    return list(registered(network, record, KnownNode("a", all_, "boot", "")))


def test_what_was_there_at_the_start_is_in_order() -> None:
    [found] = look(ANY, ("10.0.0.1", "10.1.0.1"), ("10.1.0.1", "10.0.0.1"))
    assert found.level is Level.OK and "streams come in at 10.0.0.1" in found.says


def test_what_came_later_is_told_with_where_the_others_go() -> None:
    [found] = look(ANY, ("172.17.0.1",), ("10.0.0.1", "172.17.0.1"))
    assert found.level is Level.NOTE
    assert found.says.startswith("10.0.0.1 came after") and found.says.endswith("streams come in at 172.17.0.1.")
    [found] = look(NetworkConfig(replication_address="10.0.0.1"), ("172.17.0.1",), ("10.0.0.1", "172.17.0.1"))
    assert found.says.endswith("streams come in at 10.0.0.1.")


def test_nothing_is_said_where_agent_toml_names_them_or_nobody_is_registered() -> None:
    assert look(NetworkConfig(addresses=("10.0.0.1",)), ("10.0.0.1",), ("10.0.0.1", "10.1.0.1")) == []
    assert list(registered(ANY, None, None)) == []
