"""``logs`` and ``verify``: what an agent streams."""

import argparse
from typing import Any

from manager.cli.commands.arguments import add_json, add_module, count
from manager.cli.exit_codes import ExitCode
from manager.cli.progress import progress_words
from manager.cli.render import verify_text
from manager.cli.seat import Seat
from manager.model.api import LogsArguments, LogText, VerifyArguments
from manager.model.control import Progress, VerifyReport
from manager.model.pace import PaceMeter


def add(commands: Any) -> None:
    """Declare both commands."""
    logs = commands.add_parser("logs", help="this node's logs of a module")
    add_module(logs)
    logs.add_argument(
        "--script", metavar="NAME", default="", help="the last run of a script, as start_prim (default: the replicator)"
    )
    logs.add_argument("--lines", metavar="N", type=count, default=50, help="from the end (default: 50)")
    logs.add_argument("--follow", action="store_true", help="go on with what is written, until Ctrl-C")
    logs.set_defaults(run=run_logs)

    verify = commands.add_parser("verify", help="compare both copies while the application runs; ask the primary")
    add_module(verify)
    verify.add_argument(
        "--limit", metavar="N", type=count, default=100, help="how many differences to name (default: 100)"
    )
    add_json(verify)
    verify.set_defaults(run=run_verify)


def run_logs(args: argparse.Namespace, seat: Seat) -> int:
    """Print the log, and with ``--follow`` what comes."""

    def on_text(progress: LogText) -> None:
        seat.tell(f"==> {progress.file} <==", about="log file")
        seat.out.file.write(_harmless(progress.text))
        seat.out.file.flush()

    try:
        seat.client.call(
            LogsArguments(args.module, args.script, args.lines, args.follow),
            timeout_s=None if args.follow else 30,
            on_progress=on_text,
            given_up=seat.reader_is_gone,
        )
    except KeyboardInterrupt:
        seat.client.close()
    return ExitCode.OK


def _harmless(text: str) -> str:
    """A log without what a terminal would obey; applications may write anything."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def run_verify(args: argparse.Namespace, seat: Seat) -> int:
    """Compare; 0 only when the copies are equal."""
    meter = PaceMeter()

    def on_progress(progress: Progress) -> None:
        seat.tell(f"{args.module}: {progress_words(progress, meter.heard(progress))}", about="verify")

    report: VerifyReport = seat.client.call(
        VerifyArguments(args.module, args.limit), timeout_s=None, on_progress=on_progress
    )
    if args.json:
        seat.print_json(report)
    else:
        seat.out.print(verify_text(args.module, report))
    return ExitCode.FAILED if report.error or report.differences_total else ExitCode.OK
