"""``state``, ``why``, ``wait`` and ``history``: what is, and why."""

import argparse
from collections.abc import Iterable
from typing import Any

from rich.text import Text

from manager.cli.commands.arguments import (
    add_json,
    add_module,
    add_node,
    add_timeout,
    count,
    duration_ms,
    name_or_none,
)
from manager.cli.exit_codes import OF_ERROR, STATE_UNKNOWN, ExitCode
from manager.cli.node_words import takes_over
from manager.cli.outcomes import has_reached
from manager.cli.progress import progress_words
from manager.cli.render import history_table, node_line, state_table, why_text
from manager.cli.seat import Seat
from manager.cli.watching.asking import PASSING
from manager.cli.watching.watch import has_screen, watch
from manager.model.api import ApiError, ErrorKind, ModuleView, StateArguments, StateResult, WhyArguments
from manager.model.api_requests import HistoryArguments
from manager.model.states import ModuleState

POLL_S = 0.25
PROGRESS_S = 10.0
"""How often the lines of a command that waits say how far it is."""
WATCH_MS = 1_000
"""How often the agent is asked at the most."""
LOOK_S = 1.0
"""How often it is looked whether anybody reads what is written."""
WAIT_MS = 60_000


def add(commands: Any) -> None:
    """Declare the four commands."""
    state = commands.add_parser("state", help="the state of one module, or of all, on all nodes")
    state.add_argument("module", metavar="MODULE", type=name_or_none, nargs="?", default="", help="all when left out")
    shape = state.add_mutually_exclusive_group()
    shape.add_argument(
        "--watch",
        action="store_true",
        help="go on showing it, until q or Ctrl-C: on a terminal on one screen, else each time it has changed",
    )
    shape.add_argument(
        "--quiet", action="store_true", help="print nothing; the exit code is MODULE's state on this node"
    )
    add_json(state)
    state.add_argument(
        "--interval",
        metavar="D",
        type=watch_interval_ms,
        default=None,
        help='with --watch: how often the agent is asked, as "5 s" (default, and the least: 1 s)',
    )
    state.set_defaults(run=run_state)

    why = commands.add_parser("why", help="why a module is what it is on a node, and what to do")
    add_module(why)
    add_node(why, "the node (default: this one)")
    add_json(why)
    why.set_defaults(run=run_why)

    wait = commands.add_parser("wait", help="wait until a module is in a state")
    add_module(wait)
    wait.add_argument("state", metavar="STATE", type=state_name, help=", ".join(ModuleState))
    add_node(wait, "the node that shall be in it (default: any)")
    add_timeout(wait, WAIT_MS)
    wait.set_defaults(run=run_wait)

    history = commands.add_parser("history", help="which node became primary, when and why")
    add_module(history)
    history.add_argument("--limit", metavar="N", type=count, default=20, help="how many (default: 20)")
    add_json(history)
    history.set_defaults(run=run_history)


def watch_interval_ms(text: str) -> int:
    """A duration that is not too short for the agent."""
    milliseconds = duration_ms(text)
    if milliseconds < WATCH_MS:
        raise argparse.ArgumentTypeError(f"{text!r} is less than {WATCH_MS // 1000} s")
    return milliseconds


def state_name(text: str) -> ModuleState:
    """A state, in capitals or not."""
    try:
        return ModuleState(text.upper())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a state: {', '.join(ModuleState)}") from None


def run_state(args: argparse.Namespace, seat: Seat) -> int:
    """Show the state, once, on and on, or as an exit code."""
    if args.interval is not None and not args.watch:
        seat.err.print("mirrorfarm: --interval goes with --watch")
        return ExitCode.USAGE
    if args.quiet:
        return _quiet(args.module, seat)
    if args.watch:
        return _watch(args, seat)
    result = seat.client.call(StateArguments(args.module))
    if args.json:
        seat.print_json(result)
    else:
        seat.out.print(state_table(result))
    return ExitCode.OK


def _quiet(module: str, seat: Seat) -> int:
    if not module:
        seat.err.print("mirrorfarm: state --quiet needs a MODULE")
        return STATE_UNKNOWN
    try:
        view = one_module(seat, module)
    except ApiError as error:
        seat.complain(error)
        return STATE_UNKNOWN
    node = view[0].on(view[1])
    return STATE_UNKNOWN if node is None or node.state is None else node.state.exit_code


def _watch(args: argparse.Namespace, seat: Seat) -> int:
    every_s = (args.interval or WATCH_MS) / 1000
    try:
        if not args.json and has_screen(seat.out):
            return watch(args.module, every_s, seat)
        seat.client.call(StateArguments(args.module))  # what cannot be shown to begin with, is an error
        _watch_lines(args, every_s, seat)
    except KeyboardInterrupt:
        pass
    return ExitCode.OK


def _watch_lines(args: argparse.Namespace, every_s: float, seat: Seat) -> None:
    """Print the state each time it has changed, for ever."""
    last: object = None
    while True:
        seen = _look(args.module, seat)
        new = seen.message if isinstance(seen, ApiError) else seen.modules
        if new != last:
            last = new
            if isinstance(seen, ApiError):
                (seat.err if args.json else seat.out).print(_not_seen(seen))
            elif args.json:
                seat.print_json(seen)
            else:
                seat.out.print(state_table(seen))
            seat.out.file.flush()
        due_s = seat.monotonic() + every_s
        while (left_s := due_s - seat.monotonic()) > 0:
            if seat.reader_is_gone():
                raise BrokenPipeError
            seat.sleep(min(LOOK_S, left_s))


def _look(module: str, seat: Seat) -> StateResult | ApiError:
    """The state; the error, while the agent is away: who watches wants to see it come back."""
    try:
        result: StateResult = seat.client.call(StateArguments(module))
    except ApiError as error:
        if error.kind not in PASSING:
            raise
        return error
    return result


def _not_seen(error: ApiError) -> Text:
    return Text(f"{error.message} What there is on that node is unknown until it does.", "bold red")


def run_why(args: argparse.Namespace, seat: Seat) -> int:
    """Say why."""
    result = seat.client.call(WhyArguments(args.module, args.node))
    if args.json:
        seat.print_json(result)
    else:
        seat.out.print(why_text(result))
    return ExitCode.OK


def run_wait(args: argparse.Namespace, seat: Seat) -> int:
    """Wait for a state; an agent that is away meanwhile is waited for too."""
    deadline = seat.monotonic() + args.timeout / 1000
    while True:
        away: ApiError | None = None
        try:
            view, _ = one_module(seat, args.module)
            check_node(view, args.node)
            if has_reached(view, args.state, args.node):
                return ExitCode.OK
            tell_progress(seat, args.module)
        except ApiError as error:
            if error.kind not in (ErrorKind.UNREACHABLE, ErrorKind.STORE_UNREACHABLE):
                raise
            seat.tell(f"mirrorfarm: {error.message} It is waited for.", about="agent")
            away = error
        if seat.monotonic() >= deadline:
            if away is not None:
                seat.complain(away)
                return OF_ERROR.get(away.kind, ExitCode.TIMED_OUT)
            who = args.node or "any node"
            seat.err.print(f"mirrorfarm: {args.module} was not {args.state} on {who} in time.", style="bold red")
            seat.err.print(f"  mirrorfarm why {args.module} --node {args.node or 'NODE'} says what it waits for.")
            return ExitCode.TIMED_OUT
        seat.sleep(POLL_S)


def run_history(args: argparse.Namespace, seat: Seat) -> int:
    """Show the take-overs."""
    result = seat.client.call(HistoryArguments(args.module, args.limit))
    if args.json:
        seat.print_json(result)
    else:
        seat.out.print(history_table(result))
    return ExitCode.OK


def one_module(seat: Seat, module: str) -> tuple[ModuleView, str]:
    """The view of one module, and the name of this node.

    Raises:
        ApiError: there is none, or the agent does not answer.
    """
    result: StateResult = seat.client.call(StateArguments(module))
    return result.modules[0], result.node


def tell_progress(seat: Seat, module: str, nodes: Iterable[str] = ()) -> ModuleView:
    """Say what has changed of ``module`` on ``nodes`` (empty: on all), and that etcd is waited for; the view.

    Raises:
        ApiError: there is no such module, or the agent does not answer.
    """
    result: StateResult = seat.client.call(StateArguments(module))
    view = result.modules[0]
    silent = "etcd does not answer this node: what follows is what was last heard, and nothing can be decided."
    seat.tell("" if result.store_reachable else silent, about="etcd")
    wanted = set(nodes)
    for node in view.nodes:
        if not wanted or node.node in wanted:
            seat.tell(node_line(view.name, node, failover=takes_over(view)), about=node.node)
        if node.node == result.node:
            words = progress_words(node.progress, node.pace) if node.progress is not None else ""
            seat.tell_at_times(words, "progress", PROGRESS_S)
    return view


def check_node(view: ModuleView, node: str) -> None:
    """Refuse a node that is not one of the module's.

    Raises:
        ApiError: it is not.
    """
    if node and view.on(node) is None:
        nodes = ", ".join(n.node for n in view.nodes)
        raise ApiError(
            ErrorKind.NOT_FOUND,
            f"{view.name} has no node {node}: it has {nodes}.",
            remedy=f"Name one of these: mirrorfarm state {view.name} shows them.",
        )
