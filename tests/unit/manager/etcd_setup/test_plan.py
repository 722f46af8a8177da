"""Which members are refused, and that the operator is told of everything that is wrong at once."""

import pytest

from manager.etcd_setup.plan import Asked, EtcdPlan, make_plan
from manager.model.api import ApiError, ErrorKind

GOOD = ("a=10.0.0.1", "b=10.0.0.2", "witness=fd00::3")


def plan(*members: str, data_directory: str = "", client_port: int = 2379, peer_port: int = 2380) -> EtcdPlan:
    return make_plan("main", Asked(members, data_directory, client_port, peer_port), "token")


def refusal(*members: str, data_directory: str = "", client_port: int = 2379) -> str:
    with pytest.raises(ApiError) as raised:
        plan(*members, data_directory=data_directory, client_port=client_port)
    assert raised.value.kind is ErrorKind.REFUSED
    assert "Nothing was written" in raised.value.meaning
    return raised.value.message


def test_two_servers_and_a_witness() -> None:
    made = plan(*GOOD)
    assert [(m.name, m.host) for m in made.members] == [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("witness", "[fd00::3]")]
    assert made.endpoints == ("10.0.0.1:2379", "10.0.0.2:2379", "[fd00::3]:2379")
    assert made.data_directory == "/var/lib/etcd/mirrorfarm-main"


def test_all_on_one_machine_is_for_trying_out() -> None:
    assert plan("a=127.0.0.1", "b=127.0.0.2", "w=127.0.0.3").members[0].address.is_loopback


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ((), "0 members, where two servers and a witness are 3"),
        (GOOD[:1], "1 member, where"),
        (GOOD[:2], "2 members, where"),
        ((*GOOD, "c=10.0.0.4"), "4 members, where"),
        (("a=10.0.0.1", "a=10.0.0.2", "w=10.0.0.3"), "a for 2 members"),
        (("a=10.0.0.1", "b=10.0.0.1", "w=10.0.0.3"), "10.0.0.1 for 2 members"),
        (("a=fd00::1", "b=fd00:0::1", "w=fd00::3"), "fd00::1 for 2 members"),
        (("a=10.0.0.1", "b=10.0.0", "w=10.0.0.3"), "'10.0.0' is no IP address"),
        (("a=10.0.0.1", "b=server-b", "w=10.0.0.3"), "'server-b' is no IP address"),
        (("a=10.0.0.1", "b", "w=10.0.0.3"), "'' is no IP address"),
        (("a=10.0.0.1", "=10.0.0.2", "w=10.0.0.3"), "'', which is no member's name"),
        (("a=10.0.0.1", "../b=10.0.0.2", "w=10.0.0.3"), "'../b', which is no member's name"),
        (("a=10.0.0.1", "root=10.0.0.2", "w=10.0.0.3"), "called root, as etcd's administrator"),
        (("a=10.0.0.1", "b=0.0.0.0", "w=10.0.0.3"), "b at 0.0.0.0, which is not the address of one machine"),
        (("a=10.0.0.1", "b=224.0.0.1", "w=10.0.0.3"), "b at 224.0.0.1"),
        (("a=10.0.0.1", "b=255.255.255.255", "w=10.0.0.3"), "b at 255.255.255.255"),
        (("a=10.0.0.1", "b=fe80::1", "w=10.0.0.3"), "b at fe80::1, which is good on one link alone"),
        (("a=127.0.1.1", "b=10.0.0.2", "w=10.0.0.3"), "a at an address that no other machine reaches"),
    ],
)
def test_members_that_cannot_be(members: tuple[str, ...], words: str) -> None:
    assert words in refusal(*members)


@pytest.mark.parametrize(
    "directory", ["var/lib/etcd", "/", "/var/lib/my etcd", "/var/$(reboot)", "/var/../etc", "/a\nb"]
)
def test_a_data_directory_that_a_shell_would_read_otherwise(directory: str) -> None:
    assert "which is no absolute path" in refusal(*GOOD, data_directory=directory)


def test_one_port_for_both() -> None:
    assert "one port, 2380, for clients and members" in refusal(*GOOD, client_port=2380)


def test_everything_is_said_at_once() -> None:
    said = refusal("a=10.0.0.1", "a=10.0.0.1", "w w=x", data_directory="here", client_port=2380)
    for words in ("a for 2 members", "10.0.0.1 for 2 members", "'w w'", "'here'", "one port"):
        assert words in said
