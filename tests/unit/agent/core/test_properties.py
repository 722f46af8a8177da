"""What holds whatever happens: any events in any order, no rule undoes another, and the order of commands is safe."""

from hypothesis import given
from hypothesis import strategies as st

from agent.core import lease
from agent.core.events import Tag, TxnFailed
from manager.model.codec import decode
from manager.model.records import InsyncRecord
from manager.store.api import Put
from tests.unit.agent.core.desk import KEYS, Desk
from tests.unit.agent.core.test_scenarios import PRIM

WORDS = (
    "lease", "heard", "silent", "see", "prepared", "hello", "hello primary 1", "hello secondary 1", "serving",
    "following", "closed", "frozen", "connected", "complete", "lost", "failed", "gone", "stopped", "killed", "added",
    "dropped", "in_use", "app_started", "app_stopped", "app_failed", "finished", "lease_lost", "wait 0.6", "wait 3",
    "wait 11", "wait 40", "record 3 a,b", "record 4 b", "record 3 a/old,b", "disk 3", "disk none", "b_leads 3",
    "b_is WAIT 1", "b_is SECOND 3", "b_is PRIM 3 frozen offers", "b_reboots", "b_withdraws", "stop_all",
    "desired a stopped", "desired a started", "desired b started", "request prim r1", "request swap r2",
    "request restart r3", "settle", "unknown done", "unknown lost", "refused", "memory_lost", "store other",
    "store_back", "switch b failover off", "leaves b", "registers b boot-b", "member b WAIT boot-b+1 3 7",
    "request prim r4 store_replaced", "request prim r5 rebooted_since_listed", "known b 10.0.0.2",
    "request prim r6 not_in_sync off=b", "request prim r7 not_in_sync fence=b", "request prim r8 not_in_sync",
    "probed", "probed ping", "fenced", "fenced exit_1", "record 5 b", "withdraws r6", "stream_lost",
    "stream_lost joining",
)  # fmt: skip


def happen(desk: Desk, word: str) -> list[str]:
    """The commands of one word of the script; an answer to nothing is passed over."""
    name, *arguments = word.split()
    if name in ("settle", "unknown", "refused") and desk.commit is None:
        return []
    if name == "withdraws" and desk.etcd.get_now(KEYS.request(arguments[0])) is None:
        return []
    if name == "refused":
        commit, desk.commit = desk.commit, None
        assert commit is not None
        return desk.give(TxnFailed(commit.tag, "refused"))
    gave: list[str] = getattr(desk, f"do_{name}")(*arguments)
    return gave


@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_any_events_in_any_order_end_in_a_state_with_a_word(words: list[str]) -> None:
    """The core never raises, never has two transactions under way (the desk looks), and always says why."""
    desk = Desk()
    for word in words:
        happen(desk, word)
        assert desk.word == "-" or len(desk.word.split()) == 3


@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_nothing_serves_without_the_key_and_the_lease(words: list[str]) -> None:
    """Application, addresses and Serve are begun only by a node whose settled key hangs on a lease that holds."""
    desk = Desk()
    for word in words:
        for command in happen(desk, word):
            if command.startswith("serve") or command in ("StartApplication", "AddAddresses", "AdoptApplication"):
                assert desk.state.is_primary and desk.state.lease_holds(desk.now_ns), (word, command)


@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_the_same_event_again_changes_nothing_more(words: list[str]) -> None:
    """What was decided is decided: seeing the same keys twice, or a tick too many, commands nothing."""
    desk = Desk()
    for word in words:
        happen(desk, word)
    desk.do_see()
    assert desk.do_see() == []


@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_a_node_that_lost_its_memory_is_never_listed_as_if_it_had_not(words: list[str]) -> None:
    """Only a new epoch, for which it may stand, lists a node with the boot id that it has since."""
    desk = Desk(preferred_primary="b")
    desk.play(PRIM)
    for word in words:
        if word.startswith("record") and desk.leads():
            continue  # Nobody else writes it then.
        before, seen = desk.commit, desk.state.insync
        happen(desk, word)
        if desk.commit is None or desk.commit is before or desk.commit.tag in (Tag.ELECT, Tag.TAKE_OVER):
            continue
        for change in desk.commit.txn.then:
            if isinstance(change, Put) and change.key == KEYS.insync and seen is not None:
                written, listed = decode(InsyncRecord, change.value).holder("a"), seen.record.holder("a")
                assert written is None or listed is None or written.boot_id == listed.boot_id, (word, written)


SECONDS = st.integers(0, 100)
NANOSECONDS = st.integers(0, 10**12)


@given(NANOSECONDS, SECONDS, NANOSECONDS)
def test_a_deadline_counts_from_before_the_sending(sent_ns: int, ttl_s: int, margin_ns: int) -> None:
    deadline_ns = lease.deadline_ns(sent_ns, ttl_s, margin_ns)
    assert sent_ns <= deadline_ns <= sent_ns + ttl_s * 10**9
    assert lease.later(deadline_ns, sent_ns) == deadline_ns == lease.later(sent_ns, deadline_ns)
