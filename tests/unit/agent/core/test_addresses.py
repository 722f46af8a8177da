"""A mirror's addresses that cannot be had: the other node gets the module, and not for ever in turn."""

from dataclasses import replace

from agent.core.limits import NO_ADDRESS_LATELY_NS
from manager.model.codec import encode
from manager.model.reasons import Reason
from tests.unit.agent.core.desk import KEYS, Desk
from tests.unit.agent.core.test_scenarios import SECOND, START

PRIM_WITHOUT_ADDRESSES = f"""
    {START}
    hello           ->
    request prim    -> answer accepted; commit elect
    settle          -> serve 1; settled a; AddAddresses
    serving         -> commit record
    settle          -> settled a
    no_address      ->
    is ALONE blocked address_failed
    b_is WAIT 1     -> Peer
    connected       ->
    complete        -> commit record
    settle          -> settled a,b
"""


def without_addresses(because: str = "") -> Desk:
    """The primary of a pair whose addresses cannot be had; why its epoch began."""
    desk = Desk()
    desk.play(PRIM_WITHOUT_ADDRESSES)
    if because:
        assert desk.state.insync is not None
        desk.put(KEYS.insync, encode(replace(desk.state.insync.record, because=because)))
        desk.play("see -> settled a,b")
    return desk


def test_a_primary_without_its_addresses_gives_its_place_to_the_other_one() -> None:
    without_addresses().play("b_is SECOND 1 -> Freeze")


def test_one_that_came_for_want_of_them_tries_for_a_while_before_it_gives_the_place_back() -> None:
    """They can be had nowhere, perhaps: the module would change its node every second."""
    desk = without_addresses(str(Reason.APPLICATION_FAILED))
    desk.play("""
        b_is SECOND 1   ->
        lease           ->
        is PRIM blocked address_failed
        wait 5          ->
        lease           ->
        wait 5          -> AddAddresses
        no_address      ->
        lease           ->
    """)
    desk.state = replace(desk.state, rep_since_ns=desk.now_ns - NO_ADDRESS_LATELY_NS)
    desk.play("lease -> Freeze")


def test_a_new_epoch_tries_them_anew_whatever_failed_in_a_former_one() -> None:
    """Else it gave its place away, or said that it cannot serve, before it has tried."""
    desk = Desk()
    desk.play(SECOND)
    desk.state = replace(desk.state, addr_failed="no such interface", addr_retry_ns=desk.now_ns + 10**10)
    desk.play("""
        b_is PRIM 3 frozen offers   -> CloseStream
        closed                      -> commit take_over
        settle                      -> serve 4; settled a,b; AddAddresses
    """)
    assert not desk.state.addr_failed
