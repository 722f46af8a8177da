"""``diff``: how much a coming resync of the other node would look at."""

import argparse
from typing import Any, Final

from manager.cli.commands.arguments import add_json, add_module
from manager.cli.difference import diff_lines
from manager.cli.exit_codes import ExitCode
from manager.cli.seat import Seat
from manager.model.api_verify import DiffArguments
from manager.model.reports import DiffReport

_PATIENCE_S: Final = 40.0


def add(commands: Any) -> None:
    """Declare the command."""
    diff = commands.add_parser("diff", help="what a resync of the other node would look at; ask the primary")
    add_module(diff)
    add_json(diff)
    diff.set_defaults(run=run_diff)


def run_diff(args: argparse.Namespace, seat: Seat) -> int:
    """Print the estimate."""
    report: DiffReport = seat.client.call(DiffArguments(args.module), timeout_s=_PATIENCE_S)
    if args.json:
        seat.print_json(report)
    else:
        seat.out.print("\n".join(diff_lines(args.module, report)), markup=False)
    return ExitCode.OK
