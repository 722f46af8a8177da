"""``maintenance``: keep a module where it is while people work on its nodes."""

import argparse
from typing import Any

from manager.cli.commands.arguments import add_module
from manager.cli.commands.state import one_module
from manager.cli.exit_codes import ExitCode
from manager.cli.render import switch_lines
from manager.cli.seat import Seat
from manager.model.api_modules import Switch, SwitchArguments, SwitchResult
from manager.model.states import Setting

_SAYS = {
    Setting.OFF: "in maintenance: no node takes over or hands over by itself",
    Setting.ON: "no longer in maintenance",
}


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("maintenance", help="keep a module from moving by itself; or show whether it is kept")
    add_module(parser)
    parser.add_argument("failover", metavar="on|off", choices=("on", "off"), nargs="?", help="maintenance")
    parser.set_defaults(run=run_maintenance)


def run_maintenance(args: argparse.Namespace, seat: Seat) -> int:
    """Switch it when asked for; show what is switched when not."""
    if not args.failover:
        view, _ = one_module(seat, args.module)
        for line in switch_lines(view) or [f"{view.name}: no maintenance; it is started with each node's agent"]:
            seat.out.print(line)
        return ExitCode.OK
    setting = Setting.OFF if args.failover == "on" else Setting.ON
    result: SwitchResult = seat.client.call(SwitchArguments(args.module, Switch.FAILOVER, setting))
    seat.out.print(f"{result.module}: {_SAYS[setting]}")
    if setting is Setting.OFF:
        seat.out.print(f"  Its end: mirrorfarm maintenance {result.module} off. swap and prim work meanwhile.")
    return ExitCode.OK
