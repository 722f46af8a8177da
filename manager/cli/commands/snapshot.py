"""``snapshot``: what whoever looks for a fault wants to see, from all nodes, in one file, secrets removed."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import manager
from manager.capabilities import Capability, keep_only
from manager.cli.commands.arguments import duration_ms
from manager.cli.commands.check import findings
from manager.cli.difference import count_words
from manager.cli.exit_codes import ExitCode
from manager.cli.seat import Seat
from manager.cli.snapshot.archive import Archive, new_file
from manager.cli.snapshot.node import Wanted, collect
from manager.cli.snapshot.nodes import Nodes, be_modest
from manager.cli.snapshot.summary import FILE, Part, summary
from manager.model.config.durations import format_duration

_STDOUT = "-"
RIGHTS = frozenset(
    {
        Capability.DAC_READ_SEARCH,  # to read what only others may
        Capability.NET_ADMIN,  # to list the rules of nftables
        Capability.SYS_ADMIN,  # to be told whether a file system has attributes of trusted.*
        Capability.SYS_PTRACE,  # to see who works in a directory
    }
)
"""Of root's, what it needs to look at this node, as the agent has it done: none to change anything."""
_FOLDER = "mirrorfarm-snapshot"
_SUFFIX = ".tar.gz"


def add(commands: Any) -> None:
    """Declare the command."""
    snapshot = commands.add_parser(
        "snapshot",
        help="configuration, states, records, logs and checks of all nodes in one file, secrets removed",
        description="Makes one file (.tar.gz) of what whoever looks for a fault wants to see, of all nodes: "
        "configuration, what the agents say, etcd's keys, the machine, check, logs. Changes nothing. A node that does "
        "not answer is unknown in it, and summary.txt says what else could not be had, and why. Passwords and tokens "
        "are masked by their names: look before you give it away.",
    )
    snapshot.add_argument(
        "--output",
        metavar="FILE",
        default="",
        help=f'one that is not there yet; "-": to standard output (default: {_FOLDER}-TIME{_SUFFIX}, here)',
    )
    snapshot.add_argument("--local", action="store_true", help="this node alone, collected without its agent's help")
    snapshot.add_argument(
        "--since", metavar="D", type=duration_ms, default=0, help='of the logs only the last D, as "2 h" (default: all)'
    )
    snapshot.add_argument("--without-etcd", action="store_true", help="leave out the keys in etcd")
    snapshot.set_defaults(run=run_snapshot)


def run_snapshot(args: argparse.Namespace, seat: Seat) -> int:
    """Make it."""
    if args.local and args.asked:
        seat.err.print(f"mirrorfarm: --local is this node: run it on {args.asked}, or leave it out.", soft_wrap=True)
        return ExitCode.USAGE
    if args.local:
        be_modest()
    now = time.gmtime()
    if args.output == _STDOUT:
        return _to_stdout(args, seat, now)
    path = Path(args.output or f"{_FOLDER}-{time.strftime('%Y%m%dT%H%M%SZ', now)}{_SUFFIX}").absolute()
    with new_file(path) as file, Archive(file, path.name.removesuffix(_SUFFIX)) as archive:
        parts = _fill(args, seat, archive, str(path.parent), now)
    seat.out.print(str(path), soft_wrap=True)
    lacking = sum(len(part.lacking) for part in parts)
    if lacking:
        words = count_words(lacking, "thing", "things")
        seat.err.print(f"mirrorfarm: {words} could not be had: see {FILE} in it.", soft_wrap=True)
    return ExitCode.OK


def _to_stdout(args: argparse.Namespace, seat: Seat, now: time.struct_time) -> int:
    if sys.stdout.isatty():
        seat.err.print("mirrorfarm: a snapshot is no text: name a file, or a pipe that takes it.", soft_wrap=True)
        return ExitCode.USAGE
    if args.local:
        keep_only(RIGHTS)  # What the kernel does not take back is no reason against a snapshot.
    with Archive(sys.stdout.buffer, _FOLDER) as archive:
        _fill(args, seat, archive, None, now)
    sys.stdout.buffer.flush()
    return ExitCode.OK


def _fill(
    args: argparse.Namespace, seat: Seat, archive: Archive, directory: str | None, now: time.struct_time
) -> list[Part]:
    wanted = Wanted(args.since, etcd=not args.without_etcd)

    def check() -> object:
        return {"findings": findings([], seat)}

    if args.local:
        collected = collect(seat, archive, wanted, check)
        parts = [Part(collected.node, lacking=collected.lacking)]
    else:
        parts = Nodes(seat, archive, directory, wanted, check).take(args.asked)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", now)
    made = f"Made at {at} on {os.uname().nodename} by mirrorfarm {manager.__version__}."
    since = f"the last {format_duration(args.since)}" if args.since else ""
    archive.put(FILE, summary(made, since, parts).encode("utf-8", "backslashreplace"))
    return parts
