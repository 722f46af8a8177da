import pytest

from manager.model.ids import is_name
from manager.model.node_identity import (
    NodeIdentity,
    OperatorIdentity,
    etcd_member_name,
    find_holder,
    find_identity,
    operator_common_name,
    parse_operator_uri,
    parse_uri,
)

IDENTITY = NodeIdentity("0123456789abcdef" * 2, "main", "a-1_x")


def test_what_is_written_is_read() -> None:
    assert parse_uri(IDENTITY.uri) == IDENTITY


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://example.org/",
        "urn:mirrorfarm:",
        IDENTITY.uri.upper(),
        IDENTITY.uri + ":more",
        IDENTITY.uri[:-6],
        IDENTITY.uri.replace("0123", "012g"),
        IDENTITY.uri.replace("0123", "0"),
        IDENTITY.uri.replace("main", "1main"),
        IDENTITY.uri + "\n",
        IDENTITY.uri.replace("a-1_x", "a/b"),
    ],
)
def test_what_is_something_else_is_nobody(uri: str) -> None:
    assert parse_uri(uri) is None


def test_one_identity_among_others_is_found_and_two_are_none() -> None:
    other = NodeIdentity(IDENTITY.cluster_id, "main", "b")
    assert find_identity(["https://example.org/", IDENTITY.uri]) == IDENTITY
    assert find_identity([IDENTITY.uri, other.uri]) is None
    assert find_identity([]) is None


def test_a_cluster_is_known_by_its_identity_whatever_it_is_called() -> None:
    assert IDENTITY.is_of_cluster(NodeIdentity(IDENTITY.cluster_id, "renamed", "b"))
    assert not IDENTITY.is_of_cluster(NodeIdentity("f" * 32, "main", "a-1_x"))


def test_an_operator_is_never_read_as_a_node_of_his_name_nor_a_node_as_an_operator() -> None:
    operator = OperatorIdentity(IDENTITY.cluster_id, IDENTITY.cluster, IDENTITY.node)
    assert (parse_operator_uri(operator.uri), parse_uri(operator.uri)) == (operator, None)
    assert (parse_uri(IDENTITY.uri), parse_operator_uri(IDENTITY.uri)) == (IDENTITY, None)
    assert (find_holder([operator.uri]), find_identity([operator.uri])) == (operator, None)
    assert find_holder([operator.uri, IDENTITY.uri]) is None, "whoever says that he is both is neither"
    assert find_identity([operator.uri, IDENTITY.uri]) is None


def test_an_operators_common_name_is_none_that_etcd_knows_by_us() -> None:
    named = operator_common_name("a")
    assert not is_name(named) and named != etcd_member_name("main")
    assert operator_common_name("root") != "root"
