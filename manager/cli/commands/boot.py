"""``boot``: whether this node's agent starts with the machine, and with ``-m`` whether a module does.

Of the agent it asks and tells init, and needs no agent. Of a module it asks the agent: that stands in etcd.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from manager.cli.commands.arguments import add_node, name_or_none
from manager.cli.commands.state import check_node, one_module
from manager.cli.exit_codes import ExitCode
from manager.cli.seat import Seat
from manager.cli.starting import INIT_SCRIPT, Starting, agent_runs, read, switch
from manager.model.api import UNCHANGED, ApiError, ErrorKind, NodeState
from manager.model.api_modules import Switch, SwitchArguments, SwitchResult
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.states import Run, Setting

_SAYS = {
    Starting(Setting.ON): "The agent starts with this machine.",
    Starting(Setting.OFF): "The agent does not start with this machine: after a reboot this node stays away.",
    Starting(Setting.PREV): "The agent is after a reboot as it was before: started.",
    Starting(Setting.PREV, stopped=True): "The agent is after a reboot as it was before: stopped.",
}
_MODULES = (
    "  With the agent each module is started that nobody has stopped; mirrorfarm boot off -m MODULE keeps one from it, "
    "and mirrorfarm boot on -m MODULE has it started with the machine all the same."
)
_SWITCHED = {
    Setting.ON: "started with the machine from now on, on {nodes}, where somebody has stopped it, too",
    Setting.OFF: "not started with the agent from now on, on {nodes}",
    Setting.PREV: "started with the agent from now on, on {nodes}, where it was not stopped",
}
_SHOWN = {
    Setting.ON: "it is started with the machine, where somebody has stopped it, too",
    Setting.OFF: "it is not started with the agent",
    Setting.PREV: "with the agent it is as it was: {was}",
}
_WITH_AGENTS = "  With the machine only where the agent is: mirrorfarm boot, on each node, says whether it is."
_ROOT = Path("/")


def add(commands: Any) -> None:
    """Declare the command."""
    boot = commands.add_parser(
        "boot",
        help="whether this node's agent, or a module, starts with the machine: on, off, or as it was; or show it",
        description="Tells this machine's init whether to start the agent when the machine starts. "
        "prev: only if it was not stopped when the machine went down. Takes effect with the next start of the machine. "
        "With -m, of a module, on all its nodes. on: it is started with the machine, where an operator has stopped it, "
        "too; off: it is not started with the agent; prev, the default: with the agent, where it was not stopped.",
    )
    words = tuple(word.value for word in Setting)
    boot.add_argument("boot", metavar="|".join(words), choices=words, nargs="?", help="shown when left out")
    boot.add_argument(
        "-m", "--module", metavar="MODULE", type=name_or_none, default="", help="of this module, not of the agent"
    )
    add_node(boot, "with -m: only on this node (default: all nodes of the module)")
    boot.set_defaults(run=run_boot)


def run_boot(args: argparse.Namespace, seat: Seat) -> int:
    """Switch it when asked for, and show how it is."""
    if args.module:
        return _of_module(args, seat)
    if args.node:
        raise ApiError(
            ErrorKind.BAD_REQUEST,
            "Whether an agent starts with its machine is told to that machine's init: --node is for -m.",
            meaning=UNCHANGED,
            remedy=f"Run mirrorfarm boot on {args.node}.",
        )
    try:
        if args.boot:
            _refuse_to_others(args.boot)
            switch(Setting(args.boot), runs=agent_runs())
        found = read(_ROOT)
    except DefiniteFailure as failure:
        raise ApiError(
            ErrorKind.FAILED,
            f"{failure}.",
            remedy="Tell init itself: update-rc.d(8) or systemctl(1), mirrorfarm-agent.",
        ) from None
    except IndefiniteFailure as failure:
        raise ApiError(ErrorKind.OUTCOME_UNKNOWN, f"{failure}.", remedy="mirrorfarm boot shows how it is.") from None
    seat.out.print(_SAYS[found], soft_wrap=True)
    if found.boot is not Setting.OFF:
        seat.out.print(_MODULES, soft_wrap=True)
    return ExitCode.OK


def _of_module(args: argparse.Namespace, seat: Seat) -> int:
    if args.boot:
        setting, nodes = Setting(args.boot), (args.node,) if args.node else ()
        result: SwitchResult = seat.client.call(SwitchArguments(args.module, Switch.BOOT, setting, nodes))
        says = _SWITCHED[setting].format(nodes=" and ".join(result.nodes))
        seat.out.print(f"{result.module}: {says}", soft_wrap=True)
        if setting is not Setting.OFF:
            seat.out.print(_WITH_AGENTS, soft_wrap=True)
        return ExitCode.OK
    view, _ = one_module(seat, args.module)
    check_node(view, args.node)
    for node in view.nodes:
        if args.node in ("", node.node):
            seat.out.print(f"{view.name} on {node.node}: {_shown(node)}", soft_wrap=True)
    return ExitCode.OK


def _shown(node: NodeState) -> str:
    was = "started" if node.wanted is Run.STARTED else "stopped"
    return f"{node.boot}: {_SHOWN[node.boot].format(was=was)}"


def _refuse_to_others(boot: str) -> None:
    if os.geteuid() != 0:
        raise ApiError(
            ErrorKind.REFUSED, "Only root can tell init what to start.", meaning=UNCHANGED,
            remedy=f"As root: mirrorfarm boot {boot}",
        )  # fmt: skip
    if not os.access(INIT_SCRIPT, os.X_OK):
        raise ApiError(
            ErrorKind.REFUSED, f"There is no {INIT_SCRIPT}.", meaning=UNCHANGED,
            remedy="Install Mirrorfarm on this machine: make install, or install of a bundle.",
        )  # fmt: skip
