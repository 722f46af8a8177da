"""Which peers a primary lists, and when: what flaps waits longer each time."""

from tests.unit.agent.core.test_scenarios import PRIM, played


def test_a_peer_that_flaps_is_listed_later_each_time_and_that_is_shown() -> None:
    desk = played(PRIM)
    for seconds in (3, 6, 12, 24, 48):
        desk.play("""
            lost        -> commit record
            settle      -> settled a; Peer
            connected   ->
            complete    ->
        """)
        waited = 0.0
        while waited + 6 < seconds:
            desk.play("lease ->\nwait 6 ->")
            waited += 6
        desk.play(f"lease ->\nwait {seconds - waited - 0.1} ->")
        shown = desk.state.published.resources if desk.state.published is not None else {}
        assert shown.get("unsteady:b", "") == ("" if seconds == 3 else f"{desk.state.flaps['b']} {seconds}")
        desk.play("lease ->\nwait 0.2 -> commit record\nsettle -> settled a,b")
        assert desk.state.published is not None and not desk.state.published.resources


def test_a_peer_that_an_operator_stops_does_not_flap() -> None:
    desk = played(PRIM)
    desk.play("""
        desired b stopped   ->
        lost                -> commit record
        settle              -> settled a; Peer
        desired b started   ->
        connected           ->
        complete            -> commit record
        settle              -> settled a,b
    """)
    assert not desk.state.flaps
