"""``farm``: who serves what of a farm, which node a client gets, and how much each node takes."""

import argparse
import ipaddress
from collections.abc import Callable
from typing import Any, Final

from rich.console import Group
from rich.text import Text

from manager.cli.commands.arguments import add_json, add_module, add_module_of_script, add_timeout, name
from manager.cli.commands.state import POLL_S, check_node, tell_progress
from manager.cli.exit_codes import ExitCode
from manager.cli.farm_place import place_lines
from manager.cli.farm_words import awaited_lines, due_words, slots_left, takers, weights_of
from manager.cli.render import store_lines
from manager.cli.render_farm import report_text
from manager.cli.seat import Seat
from manager.model.api import UNCHANGED, ApiError, ErrorKind, ModuleView, NodeState, StateArguments, StateResult
from manager.model.api_farm import (
    FarmPlace,
    FarmReport,
    FarmShare,
    FarmShowArguments,
    FarmTrafficArguments,
    FarmTrafficResult,
    FarmWeightArguments,
    FarmWeightResult,
    FarmWhereArguments,
)
from manager.model.config.farm_config import Protocol
from manager.model.reasons import Reason
from manager.model.records import MOST_WEIGHT
from manager.model.states import ModuleKind

DRAINED_MS = 600_000
CONFIGURED: Final = "module.toml"
_PORTS: Final = range(1, 65_536)
_WORDS: Final = """\
A farm's nodes share what clients begin, by 1,024 slots for each address: a hash of the client says which slot it is,
the table of the address which node has it. Connections that are there stay where they are, whatever moves."""

_CLIENT: Final = """\
its address, as 10.0.0.5, 10.0.0.5:40000 or [fd00::5]:40000; the port counts where connections are shared each by
itself"""
_RULE: Final = "what it connects to there (default: any port that is shared)"
_WEIGHT: Final = f"0 to {MOST_WEIGHT}; 0: nothing that begins; {CONFIGURED}: what the configuration gives it"


def add(commands: Any) -> None:
    """Declare the command and what follows it."""
    farm = commands.add_parser(
        "farm",
        help="a farm: who serves what, which node a client gets, weights, drain",
        description=_WORDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = farm.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(
        word: str, help_text: str, run: Callable[[argparse.Namespace, Seat], int], *, named: bool = True
    ) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = verbs.add_parser(word, help=help_text)
        if named:
            add_module(parser)
        else:
            add_module_of_script(parser)
        add_json(parser)
        parser.set_defaults(run=run)
        return parser

    verb("show", "the tables: who directs, who has how much, what is on its way", run_show)

    where = verb("where", "which node a client gets now, and why", run_where)
    where.add_argument("client", metavar="CLIENT[:PORT]", type=client_and_port, help=_CLIENT)
    where.add_argument("--address", metavar="VIP", default="", help="to which address of the module it connects")
    where.add_argument("--rule", metavar="tcp/PORT", type=protocol_and_port, default=None, help=_RULE)

    weight = verb("weight", "how much a node takes beside the others, from now on", run_weight)
    _add_node(weight)
    weight.add_argument("weight", metavar=f"N|{CONFIGURED}", type=weight_or_configured, help=_WEIGHT)
    _add_yes(weight)

    drain = verb("drain", "nothing that begins goes to a node; what is open there stays", run_weight)
    _add_node(drain)
    _add_yes(drain)
    drain.add_argument("--wait", action="store_true", help="until no connection is left there")
    add_timeout(drain, DRAINED_MS)
    drain.set_defaults(weight=0)

    for word, what in (("open", "what begins may come to this node"), ("close", "nothing that begins comes to it")):
        traffic = verb(word, f"{what}; for its application's scripts", run_traffic, named=False)
        traffic.set_defaults(is_open=word == "open")

    undrain = verb("undrain", "a drained node takes its share again", run_undrain)
    _add_node(undrain)


def _add_node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("node", metavar="NODE", type=name, help="one of its nodes")


def _add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask, even if no node is left to serve")


def client_and_port(text: str) -> tuple[str, int]:
    """An address, and a port or 0."""
    bare = text.removeprefix("[").removesuffix("]")
    if _is_address(bare) and text in (bare, f"[{bare}]"):
        return bare, 0
    address, _, port = text.rpartition(":")
    bracketed = address.startswith("[") and address.endswith("]")
    bare = address[1:-1] if bracketed else address
    if _is_address(bare) and bracketed is (":" in bare):
        return bare, _port(port)
    raise argparse.ArgumentTypeError(f"{text!r} is no address of a client, as 10.0.0.5:40000 or [fd00::5]:40000")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(_PORTS[-1])) or int(text) not in _PORTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1 to {_PORTS[-1]}")
    return int(text)


def protocol_and_port(text: str) -> tuple[Protocol, int]:
    """``tcp/80``."""
    protocol, slash, port = text.partition("/")
    if not slash or protocol not in tuple(Protocol):
        raise argparse.ArgumentTypeError(f"{text!r} is not {' or '.join(f'{p}/PORT' for p in Protocol)}")
    return Protocol(protocol), _port(port)


def weight_or_configured(text: str) -> int | None:
    """A weight; ``None``: that of the configuration."""
    if text == CONFIGURED:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(MOST_WEIGHT)) or int(text) > MOST_WEIGHT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a weight: 0 to {MOST_WEIGHT}, or {CONFIGURED}")
    return int(text)


def run_show(args: argparse.Namespace, seat: Seat) -> int:
    """Show the tables."""
    report: FarmReport = seat.client.call(FarmShowArguments(args.module))
    if args.json:
        seat.print_json(report)
    else:
        seat.out.print(Group(*store_lines(report.store_reachable, report.age_ms), report_text(report)))
    return ExitCode.OK


def run_where(args: argparse.Namespace, seat: Seat) -> int:
    """Say which node a client gets."""
    client, port = args.client
    protocol, service = args.rule or (None, 0)
    asked = FarmWhereArguments(args.module, client, port, args.address, protocol, service)
    place: FarmPlace = seat.client.call(asked)
    if args.json:
        seat.print_json(place)
        return ExitCode.OK
    lines = [*store_lines(place.store_reachable, place.age_ms), *(Text(line) for line in place_lines(place))]
    seat.out.print(Group(*lines))
    return ExitCode.OK


def run_weight(args: argparse.Namespace, seat: Seat) -> int:
    """Give a node a weight, once it was said what comes of it; and wait until it is drained, if that is asked."""
    view = _farm(seat, args.module)
    if view is not None:
        check_node(view, args.node)
        for line in what_comes(view, args.node, args.weight):
            seat.tell(line)
    code = _write(args, seat, args.weight, yes=args.yes)
    if code is ExitCode.OK and getattr(args, "wait", False):
        return _wait_drained(args, seat)
    return code


def run_traffic(args: argparse.Namespace, seat: Seat) -> int:
    """Open or close the traffic of this node, as the application's scripts want it."""
    result: FarmTrafficResult = seat.client.call(FarmTrafficArguments(args.module, args.is_open))
    if args.json:
        seat.print_json(result)
    else:
        already = "" if result.changed else " already"
        state = "open" if result.is_open else "closed"
        seat.out.print(f"{result.module}: the traffic of {result.node} is {state}{already}")
    return ExitCode.OK


def run_undrain(args: argparse.Namespace, seat: Seat) -> int:
    """Take back what ``drain`` did."""
    view = _farm(seat, args.module)
    if view is not None:
        check_node(view, args.node)
        share = _share(view, args.node)
        _refuse_undrain(args.module, args.node, share)
        for line in what_comes(view, args.node, None):
            seat.tell(line)
    return _write(args, seat, None, yes=False)


def _refuse_undrain(module: str, node: str, share: FarmShare) -> None:
    if share.weight:
        raise ApiError(
            ErrorKind.REFUSED,
            f"{node} is not drained: its weight is {share.weight}.",
            meaning=UNCHANGED,
            remedy=f"For another weight: mirrorfarm farm weight {module} {node} N|{CONFIGURED}"
            if share.switched
            else "",
        )
    if not share.configured:
        raise ApiError(
            ErrorKind.REFUSED,
            f"{CONFIGURED} gives {node} the weight 0: no drain keeps it from taking a share.",
            meaning=UNCHANGED,
            remedy=f"To have it take a share all the same: mirrorfarm farm weight {module} {node} 1",
        )


def _farm(seat: Seat, module: str) -> ModuleView | None:
    """The module; ``None``: it is no farm, which the agent refuses in its own words."""
    result: StateResult = seat.client.call(StateArguments(module))
    view = result.modules[0]
    return view if view.kind is ModuleKind.FARM else None


def _share(view: ModuleView, node: str) -> FarmShare:
    on = view.on(node)
    assert on is not None and on.farm is not None
    return on.farm


def what_comes(view: ModuleView, node: str, weight: int | None) -> list[str]:
    """What another weight of ``node`` changes."""
    share = _share(view, node)
    new = share.configured if weight is None else weight
    if new == share.weight:
        whose = f"from now on by {CONFIGURED}" if weight is None else f"from now on whatever {CONFIGURED} says"
        return [f"{view.name}: {node} has the weight {new}, {whose}"]
    wanted = takers(view.nodes, {**weights_of(view), node: new})
    shared = f"what begins goes to: {due_words(wanted)}" if wanted else "what begins goes to no node"
    stays = f"; what is open on {node} stays there" if new == 0 else ""
    return [f"{view.name}: {node} gets the weight {new}, instead of {share.weight}: {shared}{stays}"]


def _write(args: argparse.Namespace, seat: Seat, weight: int | None, *, yes: bool) -> ExitCode:
    """Have it written; where that leaves nobody to serve, only once the operator has said so."""
    try:
        result: FarmWeightResult = seat.client.call(FarmWeightArguments(args.module, args.node, weight, accept=yes))
    except ApiError as error:
        if error.reason != Reason.NOBODY_LEFT:
            raise
        seat.err.print(f"{error.message} All that clients begin would be dropped.", style="bold red", soft_wrap=True)
        if seat.answer("Type yes to do it: ") != "yes":
            seat.err.print("mirrorfarm: nothing was changed (--yes does not ask).")
            return ExitCode.FAILED
        result = seat.client.call(FarmWeightArguments(args.module, args.node, weight, accept=True))
    if args.json:
        seat.print_json(result)
    else:
        whose = "set by an operator" if result.switched else f"by {CONFIGURED}"
        seat.out.print(f"{result.module}: {result.node} has the weight {result.weight}, {whose}")
    return ExitCode.OK


def _wait_drained(args: argparse.Namespace, seat: Seat) -> ExitCode:
    """Until no slot is the node's, nor was it on its way from there with connections left behind."""
    end = seat.monotonic() + args.timeout / 1000
    while True:
        view = tell_progress(seat, args.module, (args.node,))
        left = slots_left(view, args.node)
        seat.tell(_left_words(args.module, view.on(args.node), left), about="drain")
        if left == 0:
            return ExitCode.OK
        if seat.monotonic() >= end:
            seat.err.print(f"mirrorfarm: {args.node} was not empty in time. The drain stands.", style="bold red")
            for table in view.tables:
                for line in awaited_lines(table):
                    seat.err.print(
                        f"mirrorfarm: {table.address}: {line}: mirrorfarm why {args.module} on each of these."
                    )
            return ExitCode.TIMED_OUT
        seat.sleep(POLL_S)


def _left_words(module: str, node: NodeState | None, left: int | None) -> str:
    name_of = node.node if node is not None else ""
    if left is None:
        return f"{module}: what is left on {name_of} is not known"
    return f"{module}: {f'{left} slots are left' if left else 'nothing is left'} on {name_of}"
