import pytest

from manager.lab.errors import LabError
from manager.lab.layout import FileSystem, Role, make_layout


def test_nodes_have_the_addresses_of_the_manual() -> None:
    layout = make_layout(("a", "b", "c"), "/lab")
    assert {m.name: m.ipv4 for m in layout.machines} == {
        "a": "10.77.0.1", "b": "10.77.0.2", "c": "10.77.0.3", "witness": "10.77.0.250", "client": "10.77.0.200",
    }  # fmt: skip
    assert layout.machine("b").ipv6 == "fd77::2"


def test_etcd_is_on_two_nodes_and_the_witness() -> None:
    assert [m.name for m in make_layout(("a", "b", "c"), "/lab").etcd_members] == ["a", "b", "witness"]


def test_file_systems_differ_between_neighbours_and_the_second_is_smaller() -> None:
    a, b, *_ = make_layout(("a", "b"), "/lab").machines
    assert (a.file_system, b.file_system) == (FileSystem.EXT4, FileSystem.XFS)
    assert FileSystem.XFS.size_bytes < FileSystem.EXT4.size_bytes


def test_only_nodes_have_a_disk_of_their_own() -> None:
    layout = make_layout(("a", "b"), "/lab")
    assert [m.name for m in layout.machines if m.file_system is not None] == [m.name for m in layout.nodes]
    assert layout.machine("witness").role is Role.WITNESS


def test_a_node_asks_its_own_etcd_first() -> None:
    layout = make_layout(("a", "b"), "/lab")
    assert layout.endpoints(layout.machine("b")) == ("10.77.0.2:2379", "10.77.0.1:2379", "10.77.0.250:2379")


@pytest.mark.parametrize("nodes", [(), ("a",), ("a", "a"), ("a", "B"), ("a", "node"), ("a", "")])
def test_nodes_are_two_or_more_different_letters(nodes: tuple[str, ...]) -> None:
    with pytest.raises(LabError, match="two different letters"):
        make_layout(nodes, "/lab")


@pytest.mark.parametrize("directory", ["lab", "", "/", "//.."])
def test_a_directory_is_an_absolute_path_of_its_own(directory: str) -> None:
    with pytest.raises(LabError, match="absolute path"):
        make_layout(("a", "b"), directory)


def test_an_unknown_machine_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(LabError, match=r"'d'.* a, b, witness, client"):
        make_layout(("a", "b"), "/lab").machine("d")


def test_the_client_is_no_node_and_has_no_etcd() -> None:
    layout = make_layout(("a", "b"), "/lab")
    with pytest.raises(LabError, match="the nodes are a, b"):
        layout.node("client")
    with pytest.raises(LabError, match="its members are on a, b, witness"):
        layout.etcd_member("client")
