"""``prim``: an operator names the node that has the good data, and with ``--force`` one that may lack some of it.

At the very first start the operator confirms by a name that the other copies go. Else the agent is asked first, and
refuses with what is against it. What an operator may decide is then shown, and he confirms it by a name; so it goes on,
one reason after the other. Nothing is decided here.
"""

import argparse
from datetime import UTC, datetime
from typing import Any

from manager.cli.accepting import COUNTS, OFF, may_be_accepted, why_not_accepted, why_not_first, why_not_named
from manager.cli.commands.arguments import add_module, add_node, add_waiting, name_or_none
from manager.cli.commands.asking import ask
from manager.cli.commands.state import one_module
from manager.cli.exit_codes import ExitCode
from manager.cli.seat import Seat
from manager.cli.stakes import stakes_lines
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_requests import Action, Stakes, StakesArguments
from manager.model.reasons import Reason

WAIT_MS = 120_000


def add(commands: Any) -> None:
    """Declare the command."""
    prim = commands.add_parser(
        "prim", help="name the node that has the good data: at the first start, or where none stands by itself"
    )
    add_module(prim)
    add_node(prim, "the node that is asked (default: this one)")
    add_waiting(prim, WAIT_MS)
    prim.add_argument(
        "--yes", metavar="N", type=name_or_none, default="", help="do not ask whether N's copy shall count"
    )
    prim.add_argument(
        "--force",
        action="store_true",
        help="the last resort: have a copy go on that may lack completed writes, while the last primary is off; shows "
        "what may be lost, and asks",
    )
    prim.add_argument("--off", metavar="A", type=name_or_none, default="", help="with --force: A is off, do not ask")
    prim.add_argument(
        "--fence", action="store_true", help="with --force: have the module's script fence turn the last primary off"
    )
    prim.set_defaults(run=run_prim)


def run_prim(args: argparse.Namespace, seat: Seat) -> int:
    """Name a node's copy; where that may lose something, only once the operator has confirmed it by name."""
    if ((args.off or args.fence) and not args.force) or (args.off and args.fence):
        seat.err.print(
            "mirrorfarm prim: --off A or --fence, one of them, goes with --force\n  Help: mirrorfarm prim --help"
        )
        return ExitCode.USAGE
    view, here = one_module(seat, args.module)
    why_not = why_not_first(seat, view, args.node or here, args.yes)
    if why_not:
        seat.err.print(f"mirrorfarm: nothing was changed: {why_not}.", soft_wrap=True)
        return ExitCode.FAILED
    told = _Told(args.node)
    while True:
        try:
            ask(args, seat, Action.PRIM, told.node, told.arguments)
        except ApiError as error:
            if error.kind is not ErrorKind.REFUSED or not _goes_on(args, seat, error, told):
                raise
        else:
            return ExitCode.OK
        if told.declined:
            seat.err.print(f"mirrorfarm: nothing was changed: {told.declined}.", soft_wrap=True)
            return ExitCode.FAILED


class _Told:
    """What the operator has accepted and said so far."""

    def __init__(self, node: str) -> None:
        self.node = node
        """Whose copy is spoken of; empty, until something was shown: this node's."""
        self.accepted: list[str] = []
        self.off: dict[str, str] = {}
        """``off`` or ``fence`` to the last primary's name."""
        self.declined = ""
        """How the operator has not confirmed, and how he could have done so on the line."""

    @property
    def arguments(self) -> dict[str, str]:
        accept = {"accept": ",".join(self.accepted)} if self.accepted else {}
        return accept | self.off


def _goes_on(args: argparse.Namespace, seat: Seat, error: ApiError, told: _Told) -> bool:
    """Whether the operator may decide this; then he is asked, unless that comes later."""
    reason = error.reason
    if may_be_accepted(error) and reason not in told.accepted:
        view, here = one_module(seat, args.module)
        told.node = told.node or here
        why_not = why_not_accepted(seat, view, told.node, reason, args.yes)
        if why_not:
            told.declined = f"{why_not} (--yes {told.node} does not ask)"
        else:
            told.accepted.append(reason)
        return True
    if not args.force:
        return False
    if reason == Reason.NOT_IN_SYNC and reason not in told.accepted:
        # What else is against it comes first. A machine that is to be turned off is not asked before.
        told.accepted.append(reason)
        if args.fence:
            _confirm(args, seat, told, "")
        return True
    if reason == Reason.NOT_CONFIRMED_OFF and not told.off:
        _confirm(args, seat, told, error.meaning)
        return True
    return False


def _confirm(args: argparse.Namespace, seat: Seat, told: _Told, tried: str) -> None:
    """Show what may be lost, and have the operator name both nodes; ``tried``: whether the last primary answers."""
    stakes: Stakes = seat.client.call(StakesArguments(args.module, told.node))
    node, last = stakes.node, stakes.last_primary
    told.node = node
    if args.fence and not stakes.fence_script:
        raise ApiError(
            ErrorKind.REFUSED,
            f"{args.module} has no script fence.",
            meaning=UNCHANGED,
            remedy=f"Turn {last} off by hand, and ask without --fence; or add scripts/fence, and apply the module.",
        )
    for line in stakes_lines(stakes, datetime.now(UTC)):
        seat.err.print(line, soft_wrap=True)
    if tried:
        seat.err.print(f"  {tried}", style="bold", soft_wrap=True)
    seat.err.print(
        f"If {last} still runs, it may serve beside {node}: the application would run twice, with two histories.",
        style="bold red",
        soft_wrap=True,
    )
    why_not = "" if args.fence else why_not_named(seat, OFF, last, args.off)
    why_not = why_not or why_not_named(seat, COUNTS, node, args.yes)
    if why_not:
        how = "--fence" if args.fence else f"--off {last}"
        told.declined = f"{why_not} (--force {how} --yes {node} does not ask)"
    else:
        told.off = {"fence" if args.fence else "off": last}
