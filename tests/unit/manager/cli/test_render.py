import io
from dataclasses import replace

from rich.console import RenderableType

from manager.cli.render import history_table, state_table, verify_text, why_text
from manager.cli.seat import make_console
from manager.model.api import WhyResult
from manager.model.api_requests import HistoryResult
from manager.model.control import Difference, VerifyReport
from manager.model.reasons import Reason
from manager.model.records import HistoryRecord
from manager.model.resources import with_missing, with_unwatched
from manager.model.states import ModuleState, Readiness
from tests.unit.manager.cli.views import ALONE, GONE, PRIM, SECOND, module, node, result


def shown(what: RenderableType, columns: int = 200) -> str:
    file = io.StringIO()
    console = make_console(file)
    console.width = columns
    console.print(what)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def test_the_table_of_a_healthy_pair() -> None:
    assert shown(state_table(result(module(PRIM, SECOND)))) == (
        "MODULE  NODE      STATE   READINESS  DATA        WHY\n"
        "db      a (here)  PRIM    ready      up to date  The application runs here, and every completed write is on "
        "both nodes.\n"
        "        b         SECOND  ready      up to date  It holds every completed write, and takes over when the "
        "primary fails."
    )


def test_alone_says_one_copy_and_a_lost_node_is_unknown() -> None:
    text = shown(state_table(result(module(ALONE, GONE, holders=("a",)))))
    assert "ALONE (one copy)" in text
    lost = text.splitlines()[2].split()
    assert lost[:3] == ["b", "unknown", "unknown"]
    assert "may lack writes" in text
    assert "its agent is not registered in etcd" in text


def test_without_a_record_nobody_is_said_to_have_the_data() -> None:
    waiting = node("a", ModuleState.WAIT, Readiness.BLOCKED, Reason.NO_DATA_NAMED, listed=None)
    text = shown(state_table(result(module(waiting, node("b", None, listed=None), holders=None, primary=""))))
    assert "not said yet" in text
    assert text.splitlines()[2].split()[:4] == ["b", "unknown", "unknown", "unknown"]


def test_an_old_view_says_how_old() -> None:
    assert shown(state_table(result(module(PRIM, SECOND), reachable=False, age_ms=7_400))).startswith(
        "etcd does not answer this node: what follows is 7.4 s old."
    )


def test_without_etcd_it_is_said_who_has_told_and_why_somebody_has_not() -> None:
    words = "only etcd could tell, and its agent does not: no answer within 1 s"
    silent = replace(node("c", None, registered=None, listed=None), detail=words)
    told = replace(result(module(PRIM, SECOND, silent), reachable=False, age_ms=7_400), told_by=("b",))
    text = shown(state_table(told))
    assert "what follows is 7.4 s old, but for what the agent of b has just said of itself." in text
    assert f"unknown  unknown    unknown     {words}" in text
    why = shown(why_text(WhyResult(told.modules[0], "c", False, 7_400, here="a")))
    assert f"Nothing is known of it: {words}." in why


def test_no_modules() -> None:
    assert shown(state_table(result())) == "No module has been applied yet."


def test_why_gives_the_cause_the_remedy_and_the_facts() -> None:
    waiting = node("a", ModuleState.WAIT, Readiness.BLOCKED, Reason.NO_DATA_NAMED, listed=None)
    view = module(waiting, GONE, holders=None, primary="")
    assert shown(why_text(WhyResult(view, "a", True, 0))) == (
        "db on a: WAIT, blocked\n"
        "  It is the first start, and nobody has said yet which node has the good data.\n"
        "  What to do: Name that node: mirrorfarm prim db --node NODE. The other node's copy is made equal to it.\n"
        "  Wanted here: started. Primary: none.\n"
        "  No node has been named to have the good data yet."
    )


def test_why_counts_the_copies() -> None:
    last = HistoryRecord(3, "a", "b", Reason.PRIMARY_LOST, "2026-01-02T03:04:05Z")
    text = shown(
        why_text(WhyResult(module(ALONE, GONE, holders=("a",)), "a", True, 0, "swap refused no_secondary", last))
    )
    assert "Every completed write is on: a (one copy). Epoch 3, last primary a." in text
    assert "Last take-over: a at 2026-01-02T03:04:05Z." in text
    assert "Last request to a: swap: refused. There is no secondary" in text


def test_why_says_who_made_the_last_request() -> None:
    at, by = "2026-01-02T03:04:05Z", "operator alice"
    told = WhyResult(module(PRIM, SECOND), "a", True, 0, "swap done", last_request_at=at, last_request_by=by)
    text = shown(why_text(told))
    assert "Last request to a, at 2026-01-02T03:04:05Z, by operator alice: swap: done." in text


def test_why_of_an_unknown_node_does_not_guess() -> None:
    text = shown(why_text(WhyResult(module(ALONE, GONE), "b", True, 0)))
    assert text.startswith("db on b: unknown\n  Nothing is known of it: its agent is not registered in etcd.")


def test_history() -> None:
    entries = (HistoryRecord(2, "b", "a", Reason.PRIMARY_LOST, "2026-01-02T03:04:05Z", "[bold]x[/bold]"),)
    text = shown(history_table(HistoryResult("db", entries)))
    assert text.splitlines()[1].split()[:4] == ["2026-01-02T03:04:05Z", "2", "b", "a"]
    assert "[bold]x[/bold]" in text, "what others wrote is shown as it is"
    assert shown(history_table(HistoryResult("db", ()))) == "db has had no primary yet."
    old = shown(history_table(HistoryResult("db", entries, store_reachable=False, age_ms=9_000)))
    assert old == f"etcd does not answer this node: what follows is 9.0 s old.\n{text}"


def test_verify_names_the_differences_harmlessly() -> None:
    difference = Difference("/srv/db/\x1b[31m\udcff[b]", "mode", "0644", "0600")
    text = shown(verify_text("db", VerifyReport("r", "", 10, 5 << 20, 3, (difference,))))
    assert "db: 3 differences: 10 entries and 5.0 MiB compared." in text
    assert "/srv/db/\\x1b[31m\\udcff[b]" in text
    assert "... and 2 more" in text
    assert "the copies are equal" in shown(verify_text("db", VerifyReport("r", "", 10, 1, 0, ())))
    assert "was not carried through: peer lost" in shown(verify_text("db", VerifyReport("r", "peer lost", 1, 1, 0, ())))


def test_a_narrow_terminal_gets_lines_and_not_a_table_without_room() -> None:
    assert shown(state_table(result(module(ALONE, GONE))), columns=60).splitlines()[:2] == [
        "db",
        "  a (here): ALONE (one copy), ready; data: up to date",
    ]


def test_what_keeps_a_node_from_going_on_is_in_the_table() -> None:
    failed = replace(PRIM, readiness=Readiness.BLOCKED, reason=Reason.APPLICATION_FAILED, detail="exit code 3")
    assert "(exit code 3)" in shown(state_table(result(module(failed, SECOND))))


def test_without_etcd_the_primary_is_what_was_last_heard() -> None:
    text = shown(why_text(WhyResult(module(PRIM, SECOND), "a", False, 9_000)))
    assert "Primary: unknown (a, when etcd was last heard)" in text


def test_a_failure_in_the_history_is_the_former_primarys() -> None:
    entry = HistoryRecord(4, "a", "b", Reason.APPLICATION_FAILED, "2026-01-02T03:04:05Z")
    assert "On b: The application" in shown(history_table(HistoryResult("db", (entry,))))


def test_a_difference_says_what_it_means_and_times_can_be_read() -> None:
    report = VerifyReport("1", "", 6, 10, 1, (Difference("/srv/db/f", "mtime", "1795631663699863509", "5"),))
    text = shown(verify_text("db", report))
    assert "2026-11-25T18:34:23.699863509Z" in text
    assert "1970-01-01T00:00:00.000000005Z" in text
    assert "mirrorfarm verify db --repair" in text and "mirrorfarm swap db" in text


def test_what_was_repaired_is_named() -> None:
    difference = Difference("/srv/db/f", "mode", "0644", "0600")
    report = VerifyReport("1", "", 6, 10, 0, (), repaired_total=2, repaired=(difference,))
    text = shown(verify_text("db", report))
    assert "2 differences repaired" in text and "/srv/db/f" in text and "... and 1 more" in text
    assert text.splitlines()[-1].startswith("db: the copies are equal")
    again = shown(verify_text("db", replace(report, differences_total=1, differences=(difference,))))
    assert "2 differences repaired" in again and "db: 1 difference:" in again and "equal to HERE" in again


def test_without_etcd_a_secondary_is_not_said_to_be_up_to_date() -> None:
    cut = replace(SECOND, registered=None, listed=None)
    text = shown(state_table(result(module(PRIM, cut), reachable=False, age_ms=3_000)))
    assert "It held every completed write when etcd was last heard." in text
    assert text.splitlines()[-1].split()[3] == "unknown"


def test_why_shows_what_is_switched_off_and_what_flaps_and_what_the_disks_have_seen() -> None:
    alone = replace(ALONE, resources={"unsteady:b": "4 24"})
    view = replace(module(alone, GONE), maintenance=True)
    text = shown(why_text(WhyResult(view, "a", True, 0)))
    assert "db: maintenance: no node takes over" in text
    assert "b was lost 4 times: it counts as up to date again once it has been connected for 24 s." in text
    blocked = node("a", ModuleState.WAIT, Readiness.BLOCKED, Reason.STORE_WENT_BACK)
    text = shown(why_text(WhyResult(module(blocked, GONE, primary=""), "a", True, 0)))
    assert "not known" in text and "Every completed write is on" not in text
    assert "b: nothing is known of its copy" in text


def test_a_primary_without_its_address_is_not_said_to_be_reached() -> None:
    without = replace(PRIM, resources=with_missing({}, missing=True))
    text = shown(state_table(result(module(without, SECOND))), columns=400)
    assert "A virtual address is missing here" in text
    text = shown(why_text(WhyResult(module(without, SECOND), "a", True, 0)), columns=400)
    assert "See to its link on a" in text and "mirrorfarm swap db --node a" in text
    text = shown(why_text(WhyResult(module(without, GONE), "a", True, 0)), columns=400)
    assert "See to its link on a" in text and "swap" not in text


def test_an_application_that_has_left_no_process_is_not_said_to_work() -> None:
    says = "Its start has left no process"
    unwatched = replace(PRIM, resources=with_unwatched({}, unwatched=True))
    assert says in shown(state_table(result(module(unwatched, SECOND))), columns=400)
    starting = replace(unwatched, readiness=Readiness.TRANSIENT)
    assert says not in shown(state_table(result(module(starting, SECOND))), columns=400)
