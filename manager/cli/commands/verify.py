"""``verify``: whether both copies are equal, and what makes them so."""

import argparse
from typing import Any

from manager.cli.accepting import why_not_repaired
from manager.cli.commands.arguments import add_json, add_module, bytes_s, count
from manager.cli.commands.state import one_module
from manager.cli.exit_codes import ExitCode
from manager.cli.progress import progress_words
from manager.cli.render import verify_text
from manager.cli.seat import Seat
from manager.model.api import ApiError, ErrorKind
from manager.model.api_verify import VerifyArguments
from manager.model.pace import PaceMeter
from manager.model.reports import Progress, VerifyReport
from manager.model.states import ModuleKind

_REPAIR = """\
where they differ, make the other node's copy equal to this one, the primary's, and compare again; if it is the
primary's copy that is wrong, swap first; asks; on the primary itself, or by --node and --operator"""
_BANDWIDTH = """\
content to read in a second at the most, as "20 MiB/s"; "0 MiB/s": no limit (default: the module's verify.bandwidth)"""
_GIVEN_UP = """\
mirrorfarm: given up; the comparison is ended.
  What it has found to differ by then is noted: mirrorfarm state {module} shows it. A repair that has begun goes on."""


def add(commands: Any) -> None:
    """Declare the command."""
    verify = commands.add_parser("verify", help="compare both copies while the application runs; ask the primary")
    add_module(verify)
    verify.add_argument(
        "--limit", metavar="N", type=count, default=100, help="how many differences to name (default: 100)"
    )
    verify.add_argument("--repair", action="store_true", help=_REPAIR)
    verify.add_argument("--yes", action="store_true", help="with --repair: do not ask")
    verify.add_argument("--bandwidth", metavar="RATE", type=bytes_s, default=None, help=_BANDWIDTH)
    add_json(verify)
    verify.set_defaults(run=run_verify)


def run_verify(args: argparse.Namespace, seat: Seat) -> int:
    """Compare; 0 only when the copies are equal in the end."""
    if args.repair:
        why_not = _why_not_repaired(args, seat)
        if why_not:
            seat.err.print(f"mirrorfarm: nothing was changed, and nothing was compared: {why_not}.", soft_wrap=True)
            return ExitCode.FAILED
    meter = PaceMeter()

    def on_progress(progress: Progress) -> None:
        seat.tell(f"{args.module}: {progress_words(progress, meter.heard(progress))}", about="verify")

    arguments = VerifyArguments(args.module, args.limit, args.repair, args.bandwidth)
    try:
        report: VerifyReport = seat.client.call(arguments, timeout_s=None, on_progress=on_progress)
    except KeyboardInterrupt:
        seat.err.print(_GIVEN_UP.format(module=args.module), soft_wrap=True)
        return ExitCode.UNKNOWN
    if args.json:
        seat.print_json(report)
    else:
        seat.out.print(verify_text(args.module, report))
    return ExitCode.FAILED if report.error or report.differences_total else ExitCode.OK


def _why_not_repaired(args: argparse.Namespace, seat: Seat) -> str:
    """How the operator does not agree to a repair by the copy of the node that is asked; empty: he does.

    Raises:
        ApiError: it is not the primary, whose copy counts; or another one than this node is asked, which its agent
            refuses.
    """
    view, here = one_module(seat, args.module)
    node = view.on(here)
    if (args.asked and not args.operator) or view.kind is ModuleKind.FARM:
        return ""
    if node is None or node.state is None or not node.state.is_primary:
        raise ApiError(
            ErrorKind.REFUSED,
            f"A repair is by the primary's copy, and {here} is not the primary of {args.module}.",
            meaning="Nothing was changed, and nothing was compared.",
            remedy=f"Run it on {view.primary} itself: mirrorfarm verify {args.module} --repair"
            if view.primary
            else f"There is none now: mirrorfarm why {args.module} says what is waited for.",
        )
    return why_not_repaired(seat, view, here, yes=args.yes)
