from manager.lab.states import cut_from
from manager.lab.switch import Cut


def test_a_cut_is_told_with_its_direction_and_what_it_takes() -> None:
    both = Cut((("a", "b"), ("b", "a")))
    one_way = Cut((("a", "client"),))
    etcd = Cut((("a", "witness"), ("witness", "a")), etcd_alone=True)
    cuts = [both, one_way, etcd]
    assert cut_from("a", cuts) == ("b", "to client", "etcd of witness")
    assert cut_from("client", cuts) == ("from a",)
    assert cut_from("witness", cuts) == ("etcd of a",)
    assert cut_from("c", cuts) == ()


def test_one_cut_adds_to_another() -> None:
    cuts = [Cut((("a", "b"), ("a", "witness"), ("b", "a")))]
    assert cut_from("a", cuts) == ("b", "to witness")
