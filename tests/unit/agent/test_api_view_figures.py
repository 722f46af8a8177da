"""What each node of a farm has of its traffic: as told, summed up where it is known of all, and unknown else."""

from dataclasses import replace

from agent.api_view_figures import FRESH_MS, Figures, total, traffic_at
from manager.model.api_farm import Traffic
from manager.model.farm_figures import Flow, NodeFigures

VIP, VIP6 = "10.0.0.10", "fd00::10"
NODES = ("a", "b", "c")


def flow(packets: int, packets_s: int | None = 10) -> Flow:
    return Flow(packets, 100 * packets, packets_s, None if packets_s is None else 100 * packets_s)


def told(connections: dict[str, int] | None, age_ms: int = 100, **flows: Flow) -> NodeFigures:
    return NodeFigures(connections, {VIP: dict(flows)} if flows else {}, age_ms)


FIGURES: Figures = {
    "a": told({VIP: 7, VIP6: 1}, a=flow(70), b=flow(50)),
    "b": told({VIP: 3}, 2_000, c=flow(4, 0)),
    "c": told(None),
}


def test_connections_are_a_nodes_own_and_packets_are_counted_by_who_hands_them_on() -> None:
    assert traffic_at(VIP, "a", NODES, FIGURES) == {
        "a": Traffic(7, 70, 7_000, 10, 1_000, 100),
        "b": Traffic(3, 50, 5_000, 10, 1_000, 2_000),
        "c": Traffic(None, 4, 400, 0, 0, 100),
    }


def test_without_the_directors_word_packets_are_not_known() -> None:
    silent = {node: figures for node, figures in FIGURES.items() if node != "a"}
    old = {**FIGURES, "a": replace(FIGURES["a"], age_ms=FRESH_MS + 1)}
    for director, figures in (("", FIGURES), ("a", silent), ("a", old)):
        found = traffic_at(VIP, director, NODES, figures)
        assert found["b"] == Traffic(3, None, None, None, None, 2_000)
    assert "a" not in traffic_at(VIP, "a", NODES, old)


def test_a_director_that_could_not_count_says_nothing_of_others() -> None:
    figures = {**FIGURES, "a": NodeFigures({VIP: 7}, None, 0)}
    assert traffic_at(VIP, "a", NODES, figures)["a"] == Traffic(7, None, None, None, None, 0)


def test_after_the_first_look_there_is_no_rate_yet() -> None:
    figures = {**FIGURES, "a": told({VIP: 7}, a=flow(70, None))}
    assert traffic_at(VIP, "a", NODES, figures)["a"] == Traffic(7, 70, 7_000, None, None, 100)


def test_of_all_addresses_what_is_not_known_of_one_is_not_known() -> None:
    known, half = Traffic(1, 2, 3, 4, 5, 600), Traffic(1, None, None, None, None, 20)
    assert total((known, known)) == Traffic(2, 4, 6, 8, 10, 600)
    assert total((known, half)) == Traffic(2, None, None, None, None, 600)
    assert total(()) == Traffic(None, None, None, None, None, None)
