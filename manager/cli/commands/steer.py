"""``start``, ``stop``, ``restart`` and ``swap``: what an operator asks of a module."""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from manager.cli.advice import remedy
from manager.cli.commands.arguments import add_module, add_node, add_waiting
from manager.cli.commands.asking import ask
from manager.cli.commands.state import POLL_S, check_node, one_module, tell_progress
from manager.cli.exit_codes import ExitCode
from manager.cli.outcomes import Outcome, has_its_share, of_start, of_stop
from manager.cli.render import node_line
from manager.cli.seat import Seat
from manager.model.api import UNCHANGED, ApiError, ErrorKind, ModuleView, NodeState
from manager.model.api_modules import DesiredArguments, DesiredResult
from manager.model.api_requests import Action
from manager.model.states import ModuleKind, Run

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
    where = ", ".join(result.nodes) or "no node, since none of it is known"
    seat.tell(f"{args.module}: asked to {verb} on {where}")
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
        todo = remedy(view, node, here=node.node if node.detail else "", store_reachable=True)
        if todo and verb == "start" and node.node in nodes and node not in outcome.unknown:
            seat.err.print(f"  {node.node}: {todo}", soft_wrap=True)
    if outcome.failed:
        return ExitCode.FAILED
    if outcome.pending:
        seat.err.print(f"  The {verb} stands and goes on; it was not done in time.")
        return ExitCode.TIMED_OUT
    return ExitCode.UNKNOWN if outcome.unknown else ExitCode.OK


def run_restart(args: argparse.Namespace, seat: Seat) -> int:
    """Restart node after node, who leads last; nodes on which the module is not started are left alone.

    Of a farm the next one has its turn when the one before has its share back: else none would be left to serve.
    """
    view, _ = one_module(seat, args.module)
    check_node(view, args.node)
    started = [n for n in view.nodes if n.wanted is Run.STARTED]
    nodes = [args.node] if args.node else [n.node for n in sorted(started, key=lambda n: _leads(view, n))]
    if not nodes:
        raise ApiError(
            ErrorKind.REFUSED,
            f"{args.module} is not started on any node.",
            remedy=f"To start it: mirrorfarm start {args.module}",
        )
    if view.kind is ModuleKind.FARM and args.no_wait and len(nodes) > 1:
        raise ApiError(
            ErrorKind.REFUSED,
            f"A restart of {', '.join(nodes)} that does not wait would have them all stop serving at once.",
            meaning=UNCHANGED,
            remedy="Leave out --no-wait; or name one node: "
            f"mirrorfarm restart {args.module} --node {nodes[0]} --no-wait",
        )
    for place, node in enumerate(nodes):
        ask(args, seat, Action.RESTART, node)
        if view.kind is ModuleKind.FARM and not args.no_wait and not _share_is_back(args, seat, node):
            _tell_unreturned(args.module, node, nodes[place + 1 :], seat)
            return ExitCode.TIMED_OUT
    return ExitCode.OK


def _leads(view: ModuleView, node: NodeState) -> bool:
    return node.node == view.primary or bool(node.farm and node.farm.directs)


def _share_is_back(args: argparse.Namespace, seat: Seat, node: str) -> bool:
    """Whether a farm's node gets again what its weight says, before the time is over."""
    end = seat.monotonic() + args.timeout / 1000
    while not has_its_share(tell_progress(seat, args.module, (node,)), node):
        if seat.monotonic() >= end:
            return False
        seat.tell(f"{args.module}: {node} runs again, and is waited for until it has its share back", about="share")
        seat.sleep(POLL_S)
    return True


def _tell_unreturned(module: str, node: str, left: list[str], seat: Seat) -> None:
    seat.err.print(
        f"mirrorfarm: {node} was restarted, and did not get its share of {module} back in time.", style="bold red"
    )
    if left:
        seat.err.print(f"  {', '.join(left)} {'was' if len(left) == 1 else 'were'} not restarted.", soft_wrap=True)
    seat.err.print(f"  mirrorfarm why {module} --node {node} says what keeps it.", soft_wrap=True)


def run_swap(args: argparse.Namespace, seat: Seat) -> int:
    """Ask one node, and wait until it has done it."""
    ask(args, seat, Action.SWAP, args.node)
    return ExitCode.OK
