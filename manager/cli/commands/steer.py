"""``start``, ``stop``, ``restart`` and ``swap``: what an operator asks of a module."""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from manager.cli.advice import remedy
from manager.cli.commands.arguments import add_module, add_node, add_waiting
from manager.cli.commands.asking import ask
from manager.cli.commands.state import POLL_S, check_node, one_module, tell_progress
from manager.cli.exit_codes import ExitCode
from manager.cli.outcomes import Outcome, of_start, of_stop
from manager.cli.render import node_line
from manager.cli.seat import Seat
from manager.model.api import (
    Action,
    ApiError,
    DesiredArguments,
    DesiredResult,
    ErrorKind,
    ModuleView,
)
from manager.model.states import Run

WAIT_MS = 120_000

FAILED_FOR_GOOD_S = 2.0
"""So long a node must have been blocked: right after a start it may still show what it was before."""


def add(commands: Any) -> None:
    """Declare the four commands."""
    every = "only this node (default: all nodes of the module)"
    for run, words in ((Run.STARTED, ("start", "start")), (Run.STOPPED, ("stop", "stop"))):
        parser = commands.add_parser(words[0], help=f"{words[1]} a module on all its nodes, or on one")
        add_module(parser)
        add_node(parser, every)
        add_waiting(parser, WAIT_MS)
        parser.set_defaults(run=run_desired, wanted=run)

    restart = commands.add_parser("restart", help="stop and start a module's application on all its nodes, or on one")
    add_module(restart)
    add_node(restart, every)
    add_waiting(restart, WAIT_MS)
    restart.set_defaults(run=run_restart)

    swap = commands.add_parser("swap", help="exchange primary and secondary")
    add_module(swap)
    add_node(swap, "the node that is asked (default: this one)")
    add_waiting(swap, WAIT_MS)
    swap.set_defaults(run=run_swap)


def run_desired(args: argparse.Namespace, seat: Seat) -> int:
    """Start or stop, and wait until it has come about."""
    nodes = (args.node,) if args.node else ()
    result: DesiredResult = seat.client.call(DesiredArguments(args.module, args.wanted, nodes))
    verb = "start" if args.wanted is Run.STARTED else "stop"
    seat.tell(f"{args.module}: asked to {verb} on {', '.join(result.nodes)}")
    if args.no_wait:
        return ExitCode.OK
    judge = of_start if args.wanted is Run.STARTED else of_stop
    try:
        view, outcome = _follow(args, seat, result.nodes, judge)
    except KeyboardInterrupt:
        seat.err.print(f"mirrorfarm: given up; the {verb} stands and goes on.")
        return ExitCode.UNKNOWN
    return _conclude(args.module, verb, view, result.nodes, outcome, seat)


def _follow(
    args: argparse.Namespace, seat: Seat, nodes: tuple[str, ...], judge: Callable[[ModuleView, Iterable[str]], Outcome]
) -> tuple[ModuleView, Outcome]:
    begun = seat.monotonic()
    while True:
        view = tell_progress(seat, args.module, nodes)
        outcome = judge(view, nodes)
        waited = seat.monotonic() - begun
        if outcome.settled and (not outcome.failed or waited >= FAILED_FOR_GOOD_S):
            return view, outcome
        if waited >= args.timeout / 1000:
            return view, outcome
        seat.sleep(POLL_S)


def _conclude(
    module: str, verb: str, view: ModuleView, nodes: tuple[str, ...], outcome: Outcome, seat: Seat
) -> ExitCode:
    for node in outcome.unknown:
        seat.err.print(
            f"{node.node}: unknown: its agent is not registered. It will see that it shall {verb} {module} when it is "
            "back.",
            style="yellow",
        )
    for node in (*outcome.failed, *outcome.pending):
        seat.err.print(f"mirrorfarm: {node_line(module, node)}", style="bold red", soft_wrap=True)
    for node in view.nodes:
        todo = remedy(view, node, here=bool(node.detail), store_reachable=True)
        if todo and verb == "start" and node.node in nodes and node not in outcome.unknown:
            seat.err.print(f"  {node.node}: {todo}", soft_wrap=True)
    if outcome.failed:
        return ExitCode.FAILED
    if outcome.pending:
        seat.err.print(f"  The {verb} stands and goes on; it was not done in time.")
        return ExitCode.TIMED_OUT
    return ExitCode.UNKNOWN if outcome.unknown else ExitCode.OK


def run_restart(args: argparse.Namespace, seat: Seat) -> int:
    """Restart node after node, the primary last; nodes on which the module is not started are left alone."""
    view, _ = one_module(seat, args.module)
    check_node(view, args.node)
    started = [n.node for n in view.nodes if n.wanted is Run.STARTED]
    nodes = [args.node] if args.node else sorted(started, key=lambda n: n == view.primary)
    if not nodes:
        raise ApiError(
            ErrorKind.REFUSED,
            f"{args.module} is not started on any node.",
            remedy=f"To start it: mirrorfarm start {args.module}",
        )
    for node in nodes:
        ask(args, seat, Action.RESTART, node)
    return ExitCode.OK


def run_swap(args: argparse.Namespace, seat: Seat) -> int:
    """Ask one node, and wait until it has done it."""
    ask(args, seat, Action.SWAP, args.node)
    return ExitCode.OK
