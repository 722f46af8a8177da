"""The screen of ``state --watch``, at the sizes that terminals have: what stands on it, and what when not all fits."""

import re
from dataclasses import replace

import pytest

from manager.cli.watching.seen import Note
from manager.model.api import ModuleView, OtherRelease
from manager.model.api_around import NodePresence
from manager.model.control import Difference
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness
from manager.model.stream_rates import StreamRates
from manager.model.verify_record import Differing, VerifyRecord
from tests.unit.manager.cli.farm_views import farm, table
from tests.unit.manager.cli.screens import AT, LARGE, SMALL, around, drawn, seen, styled
from tests.unit.manager.cli.test_progress import HALF, PACE, joining
from tests.unit.manager.cli.views import ALONE, GONE, PRIM, SECOND, module, node

PAIR = module(PRIM, SECOND)
AWAY = NodePresence("c", False, "", 12_500)
DIFFER = VerifyRecord(alarm=Differing(2, AT, "a", "schedule", (Difference("/srv/db/x", "content", "1", "2"),)))


def named(name: str, view: ModuleView = PAIR) -> ModuleView:
    return replace(view, name=name)


def many(count: int) -> list[ModuleView]:
    return [named(f"app{number:02d}") for number in range(count)]


def numbers(line: str, word: str) -> int:
    """How many of ``word`` a last line says have no room."""
    found = re.search(rf"(\d+) {word}", line)
    return int(found[1]) if found else 0


def test_all_of_a_cluster_that_is_well() -> None:
    streaming = replace(PRIM, stream=StreamRates(12 << 20, 1_234, 1_532))
    lines = drawn(seen(module(streaming, SECOND), farm(), what=around(takeovers=2)))
    assert lines[0] == "prod  seen from a  etcd answers  2026-11-26 15:58:52 UTC"
    text = [line for line in lines[1:-1] if line]
    assert [line.split()[:4] for line in text[:3]] == [
        ["MODULE", "NODE", "STATE", "READINESS"],
        ["db", "a", "(here)", "PRIM"],
        ["db", "b", "SECOND", "ready"],
    ]
    assert text[1].endswith("up to date  The application runs here, and every completed write is on both nodes.")
    assert text[3].split() == ["MODULE", "NODE", "STATE", "READINESS", "SHARE", "WEIGHT", "DIRECTS", "WHY"]
    assert [line.split()[:2] for line in text[4:7]] == [["web", "a"], ["web", "b"], ["web", "c"]]
    assert text[7:] == [
        "Registered: a (here) 0.1.0, b 0.1.0",
        "db: stream of a: sent 12.0 MiB/s, received 1.2 KiB/s, 1,532 operations/s",
        "LATEST EVENTS (UTC)",
        "00:02:07 db: b became primary after a, epoch 2. The primary before it was not heard of any more: its machine, "
        "its network or its agent failed.",
        "00:01:07 db: a became primary after b, epoch 1. The primary before it was not heard of any more: its machine, "
        "its network or its agent failed.",
    ]
    assert lines[-1] == "q ends it"


def test_a_small_terminal_has_the_same_in_paragraphs() -> None:
    lines = drawn(seen(joining(HALF, PACE), what=around(AWAY)), SMALL)
    assert lines[0] == "prod  seen from a  etcd answers  2026-11-26 15:58:52 UTC"
    text = [line for line in lines[1:-1] if line]
    assert text[0] == "db on a (here): ALONE (one copy), ready; data: up to date"
    assert text[1].startswith("  The application runs here, and there is one copy")
    assert "db on b: WAIT, transient; data: may lack writes" in text
    assert "  50 %: 512 MiB of 1.0 GiB examined, 1.0 MiB sent; 12,345 entries, 40 files" in text
    assert "  now 128 MiB/s examined, 256 KiB/s sent; about 4 s left" in text
    assert "Not registered: c for 12.5 s or longer" in text


@pytest.mark.parametrize("size", [SMALL, LARGE, (40, 12), (132, 43)])
def test_what_is_not_well_stays_where_not_all_has_room(size: tuple[int, int]) -> None:
    ill = named("zz", module(replace(ALONE, readiness=Readiness.BLOCKED), GONE))
    lines = drawn(seen(*many(40), ill, what=around(AWAY, takeovers=30)), size)
    first = next(line for line in lines if line.startswith(("zz", "app")))
    assert first.startswith("zz")
    assert any(line.startswith("Not registered: c") for line in lines)
    assert lines[-1].startswith("q ends it; no room for ")
    assert "not well" not in lines[-1]


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_rows_that_are_not_shown_are_counted(size: tuple[int, int]) -> None:
    lines = drawn(seen(*many(40), what=around(takeovers=30)), size)
    rows = sum(line.startswith("app") and " became " not in line for line in lines)
    assert rows and rows + numbers(lines[-1], "rows") == 80
    assert numbers(lines[-1], "events") == 30


def test_of_too_many_that_are_not_well_it_is_said_how_many_are_not_shown() -> None:
    lines = drawn(seen(*(named(f"db{n}", module(ALONE, GONE)) for n in range(30))), SMALL)
    assert numbers(lines[-1], "rows") > 30
    assert re.search(r"\(\d+ not well\)", lines[-1])


def test_alarms_come_first_and_have_their_module_come_first() -> None:
    lines = drawn(seen(*many(40), replace(named("zz"), verify=DIFFER)), SMALL)
    assert lines[1].startswith("zz: the copies differ: 2 differences found on")
    assert "zz on a (here): PRIM" in "\n".join(lines)


def test_an_address_that_nobody_serves_is_an_alarm() -> None:
    lines = drawn(seen(farm(), replace(farm(tables=(table(director=""),)), name="zz")), SMALL)
    assert next(line for line in lines[1:] if line).startswith("zz 10.77.0.110: nobody receives for it")
    assert next(line for line in lines if " on a (here)" in line).startswith("zz")


def test_what_is_well_is_said_in_short_before_it_is_left_out() -> None:
    lines = drawn(seen(*many(8), what=around(takeovers=5)), SMALL)
    assert sum(line.startswith("app") for line in lines) == 16
    assert "LATEST EVENTS (UTC)" in lines
    assert lines[-1] == "q ends it; no room for 3 events, the rest of 16 cut short"


@pytest.mark.parametrize("size", [(1, 1), (5, 2), (20, 3), (20, 4), (300, 5), (80, 7)])
def test_no_terminal_is_too_small(size: tuple[int, int]) -> None:
    drawn(seen(*many(3), farm(), joining(HALF, PACE), what=around(AWAY, takeovers=3)), size)


def test_a_module_with_a_long_name_leaves_room_for_its_sentences() -> None:
    lines = drawn(seen(named("m" * 63), what=around()), (100, 30))
    assert any(line.startswith(f"{'m' * 63} on a (here): PRIM") for line in lines)


# What is not known


def test_without_an_answer_everything_is_unknown_and_not_as_it_was() -> None:
    watched = replace(
        seen(module(PRIM, SECOND), replace(farm(), name="web"), what=around(AWAY, takeovers=1)),
        unknown_s=7, trouble="It does not answer on /run/x.",
    )  # fmt: skip
    for size in (SMALL, LARGE):
        lines = drawn(watched, size)
        text = " ".join(lines)
        assert lines[0] == "prod  seen from a  UNKNOWN for 7 s  last answer 2026-11-26 15:58:52 UTC"
        assert "The agent of a has given no answer for 7 s: what there is now is unknown." in text
        assert "It does not answer on /run/x." in text
        assert "it was PRIM, ready, at 15:58:52" in text
        assert "Unknown whether registered: a, b, c" in text
        assert not re.search(r"PRIM +ready|PRIM, ready;|SECOND +ready|33 %|up to date", text)
        assert "db: b became primary" in text or "db: a became primary" in text, "what has been, stays so"


def test_an_alarm_that_may_be_over_says_of_when_it_is() -> None:
    lines = drawn(replace(seen(replace(PAIR, verify=DIFFER)), unknown_s=3))
    assert any(line.startswith("at 15:58:52: db: the copies differ") for line in lines)


def test_with_etcd_silent_it_says_since_when_and_who_has_told() -> None:
    told = replace(seen(PAIR).result, store_reachable=False, age_ms=12_000, told_by=("b",))
    lines = drawn(replace(seen(PAIR), result=told))
    assert lines[0].startswith("prod  seen from a  etcd silent for 12.0 s  2026-11-26")
    old = "etcd does not answer this node: what follows is 12.0 s old"
    assert lines[1] == f"{old}, but for what the agent of b has just said of itself."


def test_an_agent_of_a_former_release_does_not_tell_of_nodes() -> None:
    told = replace(seen(PAIR).result, around=None)
    text = "\n".join(drawn(replace(seen(PAIR), result=told)))
    assert "does not tell of nodes and take-overs" in text


def test_nothing_has_been_applied_yet_and_nothing_has_happened() -> None:
    lines = drawn(seen())
    assert [line for line in lines[1:-1] if line] == [
        "No module has been applied yet.",
        "Registered: a (here) 0.1.0, b 0.1.0",
    ]


def test_a_node_whose_release_does_not_go_with_the_others_is_an_alarm() -> None:
    now = seen(PAIR)
    stranger = OtherRelease("b", "9", ("records",))
    now = replace(now, result=replace(now.result, software="1", others=(stranger, OtherRelease("c", "1.1"))))
    for size in (SMALL, LARGE):
        text = "\n".join(drawn(now, size))
        assert "b runs release 9, a release 1, and they do not go" in text
        assert "c 1.1" not in text, "its release stands with its name"


# Colours, and what a terminal would obey


def test_states_look_as_the_plain_state_has_them() -> None:
    text = styled(seen(module(ALONE, GONE)))
    assert "\x1b[1;33mALONE (one copy)\x1b[0m" in text
    assert "\x1b[1;31munknown" in text
    grey = styled(seen(module(ALONE, GONE)), no_color=True)
    assert "\x1b[1mALONE (one copy)\x1b[0m" in grey and "3" not in "".join(re.findall(r"\x1b\[([\d;]*)m", grey))


def test_nothing_that_others_have_named_is_obeyed() -> None:
    bad = replace(PRIM, readiness=Readiness.BLOCKED, detail="bad \x1b[2J [red]words\nmore \x07")
    for size in (SMALL, LARGE):
        text = "\n".join(drawn(replace(seen(module(bad, SECOND)), notes=(Note(AT, "x \x1b[2J"),)), size))
        assert "\x1b" not in text and "\x07" not in text
        assert "\\x1b[2J [red]words more \\x07" in re.sub(r"\s+", " ", text)


# Events and rates


def test_events_of_all_kinds_stand_by_their_time() -> None:
    watched = replace(seen(PAIR, what=around(takeovers=3)), notes=(Note("2026-11-26T00:02:30Z", "etcd is back."),))
    lines = drawn(watched)
    events = lines[lines.index("LATEST EVENTS (UTC)") + 1 :]
    assert [line[:8] for line in events[:4]] == ["00:03:07", "00:02:30", "00:02:07", "00:01:07"]


def test_of_another_day_the_day_is_said() -> None:
    watched = replace(seen(PAIR), notes=(Note("2026-11-25T23:59:59Z", "long ago"),))
    assert "2026-11-25 23:59:59 long ago" in drawn(watched)


def test_a_node_that_does_not_serve_counts_no_operations() -> None:
    second = replace(SECOND, stream=StreamRates(0, 3 << 20, None))
    here_b = replace(seen(PAIR).result, node="b", modules=(module(PRIM, second),))
    text = drawn(replace(seen(PAIR), result=here_b))
    assert "db: stream of b: sent 0 B/s, received 3.0 MiB/s" in text


def test_a_stopped_module_has_no_stream_to_speak_of() -> None:
    stopped = node("a", ModuleState.STOP, reason=Reason.STOPPED_BY_OPERATOR)
    still = module(replace(stopped, stream=StreamRates(0, 0, None)), SECOND)
    assert "stream" not in "\n".join(drawn(seen(still)))
