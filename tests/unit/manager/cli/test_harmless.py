"""Whatever another node, an application or a file says, the operator's terminal obeys none of it."""

import dataclasses
import io
from typing import Any

import pytest

from manager.cli.harmless import harmless, harmless_lines
from manager.cli.seat import Seat, make_console
from manager.model.api import ApiError, ErrorKind, StateArguments, WhyArguments, WhyResult
from manager.model.api_modules import ModuleFolder, ShowArguments
from manager.model.api_requests import HistoryArguments, HistoryResult
from manager.model.reasons import Reason
from manager.model.records import HistoryRecord
from manager.model.states import ModuleState, Readiness
from tests.unit.manager.cli.typing_in import typed
from tests.unit.manager.cli.views import PRIM, module, node, result

EVIL = "it said\x1b]0;owned\x07 \x1b[2J\x1b[1;1H\x9b31m\u202eno\nand went on"
SEEN = r"it said\x1b]0;owned"
OBEYED = ("\x1b", "\x07", "\x9b", "\u202e")


class Agent:
    """Of a node that says evil things wherever something may be said."""

    def call(self, arguments: Any, **_: Any) -> Any:
        bad = node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.REPLICATOR_FAILED)
        bad = dataclasses.replace(bad, detail=EVIL, resources={**bad.resources, EVIL: EVIL})
        takeover = HistoryRecord(1, "a", "2026-01-01T00:00:00Z", Reason.PRIMARY_LOST, "b", detail=EVIL)
        match arguments:
            case StateArguments():
                return result(module(PRIM, bad))
            case WhyArguments():
                answer = WhyResult(module(PRIM, bad), "b", True, 0, f"prim refused {EVIL}", takeover, here="a")
                return dataclasses.replace(answer, last_request_detail=EVIL)
            case HistoryArguments():
                return HistoryResult("db", (takeover,))
            case ShowArguments():
                return ModuleFolder("db", 1, "now", EVIL, f"# {EVIL}\tx\n", {"prestart": EVIL})
        raise ApiError(ErrorKind.REFUSED, EVIL, meaning=EVIL, remedy=EVIL)

    def close(self) -> None:
        """Nothing is open."""


class Terminal(io.StringIO):
    """As far as a console asks: it is one, in colours."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("words", ["state", "why db --node b", "history db", "diff db", "wait db SECOND --timeout 1ms"])
def test_no_command_hands_on_what_a_terminal_obeys(words: str) -> None:
    _, said = typed(Agent(), words)
    assert SEEN in said and not [c for c in OBEYED if c in said]


def test_a_terminal_has_its_own_colours_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = make_console(terminal := Terminal())
    console.print(f"bad: {EVIL}", style="red", soft_wrap=True)
    said = terminal.getvalue()
    assert "\x1b[31m" in said and SEEN in said
    assert not [c for c in ("\x1b]", "\x1b[2J", *OBEYED[1:]) if c in said]


def test_a_folder_is_shown_without_it_and_goes_into_a_file_as_it_is() -> None:
    _, into_file = typed(Agent(), "module show db")
    assert f"# {EVIL}\tx\n" in into_file
    terminal = Terminal()
    Seat(Agent(), make_console(terminal), make_console(io.StringIO()), "").print_text(f"# {EVIL}\tx\n")  # type: ignore[arg-type]
    assert "\nand went on\tx\n" in terminal.getvalue() and not [c for c in OBEYED if c in terminal.getvalue()]


def test_what_can_be_seen_stays() -> None:
    assert harmless("Grüße, 世界 \N{BLACK STAR}") == "Grüße, 世界 \N{BLACK STAR}"
    assert harmless("a\nb") == r"a\nb" and harmless_lines("a\nb\x1b") == "a\nb\\x1b"
