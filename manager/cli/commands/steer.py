"""``start``, ``stop``, ``restart``, ``swap`` and ``prim``: what an operator asks of a module."""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from manager.cli.accepting import accepts, may_be_accepted
from manager.cli.advice import refusal, remedy
from manager.cli.commands.arguments import add_module, add_node, add_waiting, name_or_none
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
    NodeState,
    RequestArguments,
    RequestProgress,
)
from manager.model.states import Run

WAIT_MS = 120_000

FAILED_FOR_GOOD_S = 2.0
"""So long a node must have been blocked: right after a start it may still show what it was before."""


def add(commands: Any) -> None:
    """Declare the five commands."""
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

    for action, words in (
        (Action.SWAP, ("swap", "exchange primary and secondary")),
        (
            Action.PRIM,
            ("prim", "name the node that has the good data: at the first start, or where none stands by itself"),
        ),
    ):
        parser = commands.add_parser(words[0], help=words[1])
        add_module(parser)
        add_node(parser, "the node that is asked (default: this one)")
        add_waiting(parser, WAIT_MS)
        if action is Action.PRIM:
            parser.add_argument(
                "--yes", metavar="N", type=name_or_none, default="", help="do not ask whether N's copy shall count"
            )
            parser.add_argument("--force", action="store_true", help="for a later release: refused")
        parser.set_defaults(run=run_prim if action is Action.PRIM else run_action, action=action)


def run_desired(args: argparse.Namespace, seat: Seat) -> int:
    """Start or stop, and wait until it has come about."""
    nodes = (args.node,) if args.node else ()
    result: DesiredResult = seat.client.call(DesiredArguments(args.module, args.wanted, nodes))
    verb = "start" if args.wanted is Run.STARTED else "stop"
    seat.tell(f"{args.module}: asked to {verb} on {', '.join(result.nodes)}")
    if args.no_wait:
        return ExitCode.OK
    judge = of_start if args.wanted is Run.STARTED else of_stop
    view, outcome = _follow(args, seat, result.nodes, judge)
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
        _request(args, seat, Action.RESTART, node)
    return ExitCode.OK


def run_action(args: argparse.Namespace, seat: Seat) -> int:
    """Ask one node, and wait until it has done it."""
    _request(args, seat, args.action, args.node)
    return ExitCode.OK


def run_prim(args: argparse.Namespace, seat: Seat) -> int:
    """Name a node's copy; where that may lose something, only once the operator has confirmed it by the node's name."""
    if args.force:
        raise ApiError(
            ErrorKind.REFUSED,
            "This release has no forced start: a copy that may lack completed writes is never made primary.",
            meaning="Nothing was changed.",
            remedy=f"mirrorfarm why {args.module} says which node has the good data, and how to bring it back.",
        )
    try:
        _request(args, seat, Action.PRIM, args.node)
    except ApiError as error:
        if not may_be_accepted(error):
            raise
        view, here = one_module(seat, args.module)
        node = args.node or here
        if not accepts(seat, view, node, error.reason, args.yes):
            seat.err.print(f"mirrorfarm: nothing was changed (--yes {node} does not ask).")
            return ExitCode.FAILED
        _request(args, seat, Action.PRIM, node, accept=error.reason)
    return ExitCode.OK


def _request(args: argparse.Namespace, seat: Seat, action: Action, node: str, accept: str = "") -> None:
    where = f" on {node}" if node else ""
    seat.tell(f"{args.module}: {action}{where} asked for")

    def on_progress(progress: RequestProgress) -> None:
        if progress.status != "pending":
            seat.tell(f"{args.module}: {action}{where} {progress.status}", about=f"{action}{where}")
        for state in progress.nodes:
            seat.tell(node_line(args.module, state), about=state.node)

    arguments = {"accept": accept} if accept else {}
    asked = RequestArguments(args.module, action, node, arguments, wait=not args.no_wait, timeout_ms=args.timeout)
    try:
        seat.client.call(asked, timeout_s=args.timeout / 1000 + 10, on_progress=on_progress)
    except ApiError as error:
        if not error.reason or error.kind is ErrorKind.TIMED_OUT:
            raise
        raise _explained(error, args.module, action, node, seat) from None


def _explained(error: ApiError, module: str, action: Action, node: str, seat: Seat) -> ApiError:
    """A refusal or failure whose reason is a word for programs, in sentences."""
    view, here = one_module(seat, module)
    asked = node or here
    says = refusal(error.reason, module, asked, next((n.node for n in view.nodes if _leads(n)), ""))
    verb = "refused" if error.kind is ErrorKind.REFUSED else "could not carry out"
    return ApiError(
        error.kind,
        f"{asked} {verb} {action}: {says.says}",
        meaning=error.meaning,
        remedy=says.remedy,
        reason=error.reason,
    )


def _leads(node: NodeState) -> bool:
    return node.state is not None and node.state.is_primary
