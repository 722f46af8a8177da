"""``maintenance``: keep a module where it is while people work on its nodes, and from being started at boot."""

import argparse
from typing import Any

from manager.cli.commands.arguments import add_module, add_node
from manager.cli.commands.state import one_module
from manager.cli.exit_codes import ExitCode
from manager.cli.render import switch_lines
from manager.cli.seat import Seat
from manager.model.api import ApiError, ErrorKind, Switch, SwitchArguments, SwitchResult

_SAYS = {
    (Switch.FAILOVER, False): "in maintenance: no node takes over or hands over by itself",
    (Switch.FAILOVER, True): "no longer in maintenance",
    (Switch.BOOT, False): "not started with the agent from now on, on {nodes}",
    (Switch.BOOT, True): "started with the agent from now on, on {nodes}, where it was not stopped",
}


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "maintenance", help="keep a module from moving by itself, or from being started at boot; or show whether it is"
    )
    add_module(parser)
    parser.add_argument("failover", metavar="on|off", choices=("on", "off"), nargs="?", help="maintenance")
    parser.add_argument("--boot", choices=("on", "off"), default="", help="whether it is started with the agent")
    add_node(parser, "with --boot: only this node (default: all nodes of the module)")
    parser.set_defaults(run=run_maintenance)


def run_maintenance(args: argparse.Namespace, seat: Seat) -> int:
    """Switch what was asked for; show what is switched when nothing was."""
    if args.node and not args.boot:
        raise ApiError(
            ErrorKind.BAD_REQUEST,
            "Maintenance is of all nodes of a module: --node is for --boot.",
            meaning="Nothing was changed.",
        )
    if args.failover:
        _switch(args, seat, Switch.FAILOVER, on=args.failover == "off")
    if args.boot:
        _switch(args, seat, Switch.BOOT, on=args.boot == "on")
    if not args.failover and not args.boot:
        view, _ = one_module(seat, args.module)
        for line in switch_lines(view) or [f"{view.name}: no maintenance; it is started with each node's agent"]:
            seat.out.print(line)
    return ExitCode.OK


def _switch(args: argparse.Namespace, seat: Seat, switch: Switch, *, on: bool) -> None:
    nodes = (args.node,) if args.node and switch is Switch.BOOT else ()
    result: SwitchResult = seat.client.call(SwitchArguments(args.module, switch, on, nodes))
    says = _SAYS[switch, on].format(nodes=" and ".join(result.nodes))
    seat.out.print(f"{result.module}: {says}")
    if switch is Switch.FAILOVER and not on:
        seat.out.print(f"  Its end: mirrorfarm maintenance {result.module} off. swap and prim work meanwhile.")
