"""A value in etcd that no release has written: what runs goes on, and nothing is decided that such a key decides."""

import pytest

from agent.core.mirror import initial
from tests.unit.agent.core.desk import KEYS, Desk
from tests.unit.agent.core.test_scenarios import ALONE, PRIM, SECOND, START, lived, played

LAST_WISHES = [("config",), ("desired/a",), ("desired/b",), ("config", "desired/a", "desired/b")]


@pytest.mark.parametrize("names", LAST_WISHES)
@pytest.mark.parametrize(("script", "word"), [(PRIM, "PRIM ready serving"), (SECOND, "SECOND ready in_sync")])
def test_what_runs_goes_on_with_the_last_wish_and_configuration(script: str, word: str, names: tuple[str, ...]) -> None:
    desk = played(script)
    desk.play(f"""
        spoil {" ".join(names)} ->
        wait 5      ->
        see         ->
        is {word}
    """)


def test_a_primary_that_has_lost_its_peer_meanwhile_serves_on_alone() -> None:
    desk = played(PRIM)
    desk.play("""
        spoil config desired/a desired/b ->
        lost        -> commit record
        settle      -> settled a; Peer
        is ALONE ready serving_without_peer
    """)


def test_a_secondary_takes_over_by_the_last_wish() -> None:
    desk = played(SECOND)
    desk.play("""
        b_is PRIM 3         ->
        spoil config desired/a desired/b ->
        stream_lost         ->
        b_is_gone           -> CloseStream
        closed              -> commit elect
        settle              -> serve 4; settled a; AddAddresses
    """)


def test_a_wish_counts_as_soon_as_it_is_understood() -> None:
    desk = played(ALONE)
    desk.play("""
        spoil desired/a         ->
        desired a stopped       -> StopApplication
    """)


def test_a_stopped_one_is_not_started_by_what_is_not_understood() -> None:
    desk = played(START)
    desk.play("""
        hello               ->
        desired a stopped   -> StopReplicator
        stopped             -> Finish
        finished            ->
        is -
        spoil desired/a config ->
        is -
        desired a started   -> Prepare
    """)


@pytest.mark.parametrize("name", ["config", "desired/a"])
def test_a_deleted_key_stops_it_also_if_it_was_spoiled_before(name: str) -> None:
    desk = played(ALONE)
    desk.play(f"""
        spoil {name}        ->
        remove {name}       -> StopApplication
    """)


def test_a_last_wish_ends_with_its_key() -> None:
    desk = played(START)
    desk.play("""
        hello               ->
        remove desired/a    -> StopReplicator
        stopped             -> Finish
        finished            ->
        spoil desired/a     ->
        is -
    """)


def test_an_agent_that_starts_with_such_a_wish_starts_nothing() -> None:
    desk = Desk()
    desk.spoil("desired/a")
    desk.play("""
        lease       ->
        heard       ->
        see         ->
        wait 5      ->
        is -
        desired a started -> Prepare
    """)


def test_an_agent_that_starts_with_such_a_configuration_goes_by_the_one_that_it_was_made_of() -> None:
    desk = Desk()
    desk.spoil("config")
    desk.play(START)


def test_an_agent_that_finds_the_module_running_takes_that_for_the_last_wish() -> None:
    desk = played(ALONE)
    desk.spoil("desired/a", "config")
    desk.state = initial(desk.state.settings, left=True)
    desk.play("""
        lease       ->
        heard       ->
        see         -> Prepare
        prepared    -> StartReplicator
        is WAIT transient starting_replicator
        desired a stopped ->
        is WAIT transient stopped_by_operator
    """)


def test_maintenance_is_not_ended_by_a_typo() -> None:
    desk = played(SECOND)
    desk.play("""
        b_is PRIM 3             ->
        switch b failover off   ->
        spoil desired/b         ->
        stream_lost             ->
        b_is_gone               ->
        wait 5                  ->
        lease                   ->
        wait 5                  ->
        lease                   ->
        is WAIT blocked failover_off
    """)


@pytest.mark.parametrize("name", ["primary", "insync"])
def test_nothing_is_decided_on_a_record_that_is_not_understood(name: str) -> None:
    """A secondary does not stand on it, whatever it has known of it before (S1, S11)."""
    desk = played(SECOND)
    desk.play(f"""
        b_is PRIM 3     ->
        stream_lost     ->
        spoil {name}    ->
        b_withdraws     ->
        wait 5          ->
        lease           ->
        wait 5          ->
        lease           ->
        wait 5          ->
    """)
    assert desk.commit is None


def test_a_primary_goes_on_with_the_stream_that_stands_while_the_record_is_not_understood() -> None:
    """Who has what it completes is what was settled last: without that stream nothing would complete (S2)."""
    desk = played(PRIM)
    good = desk.etcd.get_now(KEYS.insync)
    assert good is not None
    desk.play("""
        spoil insync    ->
        lease           ->
        wait 5          ->
        lease           ->
        is PRIM ready record_unreadable
    """)
    desk.put(KEYS.insync, good.value)
    desk.play("""
        see             -> settled a,b
        is PRIM ready serving
    """)


def test_a_primary_whose_record_is_not_understood_and_that_has_lost_its_peer_does_not_say_that_it_is_ready() -> None:
    desk = played(PRIM)
    desk.play("""
        spoil insync    ->
        lost            ->
        is ALONE blocked record_unreadable
        record 1 a,b a  ->
        see             -> settled a,b; commit record
        settle          -> settled a; Peer
        is ALONE ready serving_without_peer
    """)


def test_a_primary_alone_goes_on_while_the_record_is_not_understood() -> None:
    desk = played(ALONE)
    desk.play("""
        spoil insync    ->
        is ALONE ready record_unreadable
    """)


def test_a_secondary_goes_on_promising_while_the_primary_key_is_not_understood() -> None:
    """It does not stand meanwhile, and the primary serves by that alone (S5)."""
    desk = played(SECOND)
    desk.play("""
        b_is PRIM 3     ->
        spoil primary   ->
    """)
    for _ in range(4):
        desk.play("""
            lease       ->
            asked 3     -> Promise
            wait 5      ->
        """)


def test_a_primary_outlives_its_key_by_promises_while_that_is_not_understood() -> None:
    desk = played(PRIM)
    desk.play("""
        b_promises 8    ->
        spoil primary   ->
        lease           ->
        is PRIM ready record_unreadable
    """)


@pytest.mark.parametrize("name", ["primary", "insync"])
def test_a_secondary_says_that_the_record_is_not_understood_and_nothing_of_an_etcd_that_went_back(name: str) -> None:
    desk = played(SECOND)
    desk.play("b_is PRIM 3 ->")
    desk.spoil(name)
    desk.do_see()
    assert desk.word == "WAIT blocked record_unreadable"


def test_a_stop_is_obeyed_where_the_primary_key_is_not_understood() -> None:
    """Alone in the record it serves for ever without a key that it knows, and cannot give up one that it does not."""
    desk = played(ALONE)
    desk.play("""
        spoil primary       ->
        desired a stopped   -> kill stopped_by_operator
        killed              -> Finish
        finished            ->
        is -
    """)


def test_an_application_that_ends_is_started_again_while_the_primary_key_is_not_understood() -> None:
    desk = lived(ALONE)
    desk.play("""
        spoil primary   ->
        app_gone        -> StopApplication
        app_stopped     -> StartApplication
        app_started     ->
        is ALONE ready record_unreadable
    """)


@pytest.mark.parametrize("name", ["primary", "insync"])
def test_a_swap_is_refused_for_a_record_that_is_not_understood(name: str) -> None:
    desk = played(PRIM)
    desk.play(f"""
        b_promises 8    ->
        spoil {name}    ->
        request swap r2 -> answer refused record_unreadable
    """)


def test_a_join_that_ends_while_the_record_is_not_understood_counts_once_it_is() -> None:
    """It is told once: else the copy was complete, and never listed."""
    desk = played(ALONE)
    good = desk.etcd.get_now(KEYS.insync)
    assert good is not None
    desk.play("""
        b_is WAIT 1     -> Peer
        connected       ->
        spoil insync    ->
        complete 1      ->
    """)
    desk.put(KEYS.insync, good.value)
    desk.play("""
        see             -> settled a; commit record
        settle          -> settled a,b
    """)
