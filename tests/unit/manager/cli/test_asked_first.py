"""Each command is known for what it takes away; what nothing brings back is shown and asked for, and else not done."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from manager.cli.exit_codes import ExitCode
from manager.cli.main import build_parser
from manager.model.api import ApiError, ErrorKind, ModuleView, StateArguments
from manager.model.api_calls import CALL_OF
from manager.model.api_channel import READING
from manager.model.api_farm import FarmWeightArguments
from manager.model.api_modules import RemoveResult
from manager.model.api_requests import RequestArguments, RequestResult
from manager.model.asides import Aside, AsideReport
from manager.model.reasons import Reason
from manager.model.reports import VerifyReport
from manager.model.states import ModuleState, Readiness
from tests.unit.manager.cli.farm_views import farm, up
from tests.unit.manager.cli.test_forcing import STAKES, VIEW
from tests.unit.manager.cli.typing_in import CTRL_C, LATIN_1, typed
from tests.unit.manager.cli.views import PRIM, SECOND, module, node, result

UNNAMED: Final = module(
    node("a", ModuleState.WAIT, Readiness.BLOCKED, Reason.NO_DATA_NAMED, listed=None),
    node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.NO_DATA_NAMED, listed=None),
    primary="",
    holders=None,
)
PAIR: Final = module(PRIM, SECOND)
ASIDE: Final = Aside(2, "2026-11-26T01:00:00Z", 4, "b", 5, 3, 4096)


@dataclass(frozen=True)
class Asked:
    """A command that takes away for good, as it is typed where it has to ask."""

    line: str
    shows: str
    """What it says before."""
    agrees: tuple[str, ...]
    """The answers."""
    unasked: str
    """What does not ask, on the same line."""
    view: ModuleView = PAIR


ASKED: Final = {
    "module remove": Asked("module remove db", "with its history", ("db",), "--yes"),
    "prim": Asked("prim db", "is deleted", ("a",), "--yes a", UNNAMED),
    "prim --force": Asked("prim db --node b --force", "two histories", ("a", "b"), "--off a --yes b", VIEW),
    "verify": Asked("verify db --repair", "is overwritten or deleted", ("yes",), "--yes"),
    "aside clear": Asked("aside db clear 2", "deleted for good", ("yes",), "--yes"),
    "aside give-up": Asked("aside db give-up", "nothing of it will be kept", ("a",), "--yes a"),
    "farm weight": Asked("farm weight web b 0", "would be dropped", ("yes",), "--yes", farm(up("b"))),
    "farm drain": Asked("farm drain web b", "would be dropped", ("yes",), "--yes", farm(up("b"))),
    "pki revoke": Asked("pki revoke b --directory {pki}", "will be refused", ("b",), "--yes b"),
}
BROUGHT_BACK: Final = {
    "start", "stop", "restart", "swap", "maintenance", "boot", "loglevel", "farm undrain", "farm open", "farm close",
    "module apply",
}  # fmt: skip
"""What these change, the same or another command changes back; that is what was typed, and they do not ask."""
ADDS: Final = {"module export", "aside restore", "snapshot", "pki init", "pki issue", "pki renew",
               "etcd init", "etcd renew", "etcd secure"}  # fmt: skip
"""They make files, certificates or users beside those that there are, and refuse what is in the way."""
LOOKS: Final = {
    "check", "state", "why", "wait", "history", "logs", "diff", "module check", "module show", "aside", "aside list",
    "aside show", "farm show", "farm where", "pki show",
}  # fmt: skip


class Agent:
    """Node a's, which has an aside and something to be set aside, and would be left with nobody to serve a farm."""

    def __init__(self, view: ModuleView) -> None:
        self.view = view
        self.did: list[Any] = []
        """Calls that change something, and were not refused."""

    def call(self, arguments: Any, **_: Any) -> Any:
        refused = self._refused(arguments)
        if refused is not None:
            raise ApiError(ErrorKind.REFUSED, "it is refused.", reason=refused)
        call = CALL_OF[type(arguments)]
        if call not in READING:
            self.did.append(arguments)
        if isinstance(arguments, StateArguments):
            return result(self.view)
        answers: dict[str, Callable[[], Any]] = {
            "stakes": lambda: STAKES,
            "module.remove": lambda: RemoveResult("db", ("/srv/db",)),
            "verify": lambda: VerifyReport("1", "", 3, 0, 0, ()),
            "request": lambda: RequestResult("1", "b", "done"),
            "farm.weight": lambda: argparse.Namespace(module="web", node="b", weight=0, switched=True),
        }
        return answers.get(call, lambda: AsideReport("1", "", True, 1 << 30, (ASIDE,)))()

    def _refused(self, arguments: Any) -> str | None:
        if isinstance(arguments, FarmWeightArguments) and not arguments.accept:
            return Reason.NOBODY_LEFT
        if isinstance(arguments, RequestArguments) and self.view is VIEW:
            said = arguments.arguments
            if "not_in_sync" not in said.get("accept", ""):
                return Reason.NOT_IN_SYNC
            return None if "off" in said else Reason.NOT_CONFIRMED_OFF
        return None

    def close(self) -> None:
        """Nothing is open."""


def changed(agent: Agent, pki: Path) -> bool:
    """Whether anything was taken away."""
    register = pki / "authority/register.json"
    return bool(agent.did) or (register.exists() and '"revoked_at":"2' in register.read_text().replace(" ", ""))


@pytest.fixture
def pki(tmp_path: Path, name: str) -> Path:
    if name.startswith("pki"):
        for words in ("init --cluster main", "issue b"):
            typed(Agent(PAIR), f"pki {words} --directory {tmp_path / 'pki'}")
    return tmp_path / "pki"


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("answer", [None, "", CTRL_C, LATIN_1, "no", "z"])
def test_without_a_terminal_or_another_answer_than_yes_nothing_is_done_and_it_is_said_how(
    name: str, answer: str | None, pki: Path
) -> None:
    one, agent = ASKED[name], Agent(ASKED[name].view)
    answers = () if answer is None else (answer,)
    code, said = typed(agent, one.line.format(pki=pki), *answers)
    assert code == ExitCode.FAILED and not changed(agent, pki), said
    assert one.shows in said and "mirrorfarm: nothing was " in said and "does not ask" in said
    assert "--yes" in said and "Traceback" not in said


@pytest.mark.parametrize("name", ASKED)
def test_once_it_was_agreed_to_it_is_done(name: str, pki: Path) -> None:
    one, agent = ASKED[name], Agent(ASKED[name].view)
    code, said = typed(agent, one.line.format(pki=pki), *one.agrees)
    assert code == ExitCode.OK and changed(agent, pki), said


@pytest.mark.parametrize("name", ASKED)
def test_who_has_agreed_on_the_line_is_not_asked(name: str, pki: Path) -> None:
    one, agent = ASKED[name], Agent(ASKED[name].view)
    code, said = typed(agent, f"{one.line.format(pki=pki)} {one.unasked}")
    assert code == ExitCode.OK and changed(agent, pki) and "Type " not in said, said


def leaves(parser: argparse.ArgumentParser, before: tuple[str, ...] = ()) -> Iterator[str]:
    """The commands below ``parser``, by their words."""
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if before and not (below and below[0].required):
        yield " ".join(before)
    for action in below:
        for word, one in action.choices.items():
            yield from leaves(one, (*before, word))


def test_of_each_command_it_is_known_what_it_takes_away() -> None:
    found = {name for name in leaves(build_parser(with_lab=False)) if name != "lab"}
    asked = {name.partition(" --")[0] for name in ASKED}
    assert found == asked | BROUGHT_BACK | ADDS | LOOKS
    assert len(found) == len(asked) + len(BROUGHT_BACK) + len(ADDS) + len(LOOKS), "each of them once"
