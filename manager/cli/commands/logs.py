"""``logs``: what an agent has written down."""

import argparse
from typing import Any

from manager.cli.commands.arguments import add_module, count
from manager.cli.exit_codes import ExitCode
from manager.cli.seat import Seat
from manager.model.api_log_files import LogsArguments, LogText


def add(commands: Any) -> None:
    """Declare the command."""
    logs = commands.add_parser("logs", help="this node's logs of a module")
    add_module(logs)
    logs.add_argument(
        "--script", metavar="NAME", default="", help="the last run of a script, as start_prim (default: the replicator)"
    )
    logs.add_argument("--lines", metavar="N", type=count, default=50, help="from the end (default: 50)")
    logs.add_argument("--follow", action="store_true", help="go on with what is written, until Ctrl-C")
    logs.set_defaults(run=run_logs)


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
