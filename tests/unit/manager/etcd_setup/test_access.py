"""From what etcd has to what it is to have: each step once, the lock last, and nobody shut out on the way."""

from dataclasses import replace

from manager.etcd_setup.access import (
    Access,
    AddRole,
    AddUser,
    GiveRole,
    Permission,
    Permit,
    Step,
    TurnOn,
    entitled,
    permission_of,
    role_of,
    steps,
    surplus,
)

PREFIX = Permission("/mirrorfarm/main/", "/mirrorfarm/main0", writes=True)


def take(access: Access, step: Step) -> Access:
    """As etcd does; what it would refuse fails here."""
    users, roles = dict(access.users), dict(access.roles)
    match step:
        case AddRole(role):
            assert role not in roles
            roles[role] = frozenset()
        case Permit(role, permission):
            roles[role] |= {permission}
        case AddUser(user):
            assert user not in users
            users[user] = frozenset()
        case GiveRole(user, role):
            assert role in roles
            users[user] |= {role}
        case TurnOn():
            assert "root" in users["root"]
            return replace(access, is_on=True)
    return Access(access.is_on, users, roles)


def after(access: Access, nodes: tuple[str, ...] = ("a", "b")) -> Access:
    for step in steps(access, "main", nodes):
        access = take(access, step)
    return access


def test_from_nothing() -> None:
    made = after(Access())
    assert made.is_on
    assert made.users == {"root": {"root"}, "a": {"mirrorfarm-main"}, "b": {"mirrorfarm-main"}}
    assert made.roles["mirrorfarm-main"] == {PREFIX}


def test_while_etcd_asks_nobody_no_node_with_a_certificate_is_left_out() -> None:
    assert entitled(Access(), ["c"], ["a", "b"]) == ["a", "b", "c"]
    assert entitled(Access(), [], ["b", "a"]) == ["a", "b"]
    assert entitled(after(Access()), ["c", "c"], ["a", "b"]) == ["c"], "the others have what they had"
    assert entitled(after(Access()), [], ["a", "b"]) == ["a", "b"]


def test_a_second_time_nothing_is_missing() -> None:
    assert steps(after(Access()), "main", ("a", "b")) == []


def test_the_lock_is_last() -> None:
    wanted = steps(Access(), "main", ("a", "b"))
    assert [step for step in wanted if isinstance(step, TurnOn)] == wanted[-1:]


def test_it_goes_on_wherever_it_was_broken_off() -> None:
    whole = after(Access())
    access = Access()
    for step in steps(access, "main", ("a", "b")):
        assert after(access) == whole
        access = take(access, step)
    assert access == whole


def test_a_node_that_comes_later_is_all_that_is_added() -> None:
    assert steps(after(Access()), "main", ("a", "b", "c")) == [AddUser("c"), GiveRole("c", "mirrorfarm-main")]


def test_a_permission_that_is_short_is_made_whole() -> None:
    short = Permission(PREFIX.first, PREFIX.end)
    made = after(Access())
    made = replace(made, roles={**made.roles, "mirrorfarm-main": frozenset({short})})
    assert steps(made, "main", ("a", "b")) == [Permit("mirrorfarm-main", PREFIX)]


def test_no_other_clusters_keys_are_in_it() -> None:
    prefix = permission_of("main")
    for key in ("/mirrorfarm/main", "/mirrorfarm/main0", "/mirrorfarm/main-2/id", "/mirrorfarm/mai/id", "/mirrorfarm/"):
        assert not prefix.first <= key < prefix.end
    for key in ("/mirrorfarm/main/", "/mirrorfarm/main/id", "/mirrorfarm/main/nodes/é"):
        assert prefix.first <= key < prefix.end


def test_what_is_more_is_told_and_left() -> None:
    made = after(Access())
    wide = Permission("", "\0", writes=True)
    made = replace(
        made,
        users={**made.users, "a": made.users["a"] | {"root"}},
        roles={**made.roles, role_of("main"): made.roles[role_of("main")] | {wide}},
    )
    assert steps(made, "main", ("a", "b")) == []
    role, user = surplus(made, "main", ("a", "b"))
    assert "mirrorfarm-main may also read and write" in role
    assert user == "user a has role root, too"
    assert surplus(after(Access()), "main", ("a", "b")) == []
