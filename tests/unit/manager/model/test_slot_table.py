"""What a table says of a node, read off it."""

from manager.model.farm import NOBODY, SLOTS, SlotTable

NODES = ("a", "b", "c")


def table(owners: str, coming: str, leaving: str) -> SlotTable:
    """Its first slots; of the others nobody has any."""
    owners, coming, leaving = (row.ljust(SLOTS, NOBODY) for row in (owners, coming, leaving))
    return SlotTable(1, NODES, owners, coming, leaving)


def test_of_a_slot_that_a_node_neither_owns_nor_leaves_all_goes_to_others() -> None:
    #          settled  coming  leaving  drained
    owners = "0121110-"
    coming = "---0----"
    leaving = "-----010"
    found = table(owners, coming, leaving)
    assert found.kept_from("a") == {1, 2, 3, 4}
    assert found.kept_from("b") == {0, 2, 7}
    assert found.kept_from("c") == {0, 1, 3, 4, 5, 6, 7}


def test_what_goes_to_nobody_is_kept_from_nobody() -> None:
    assert table("0-1", "---", "---").kept_from("c") == {0, 2}


def test_a_node_that_the_table_does_not_know_gets_nothing_of_what_others_have() -> None:
    assert table("01", "--", "--").kept_from("d") == {0, 1}
