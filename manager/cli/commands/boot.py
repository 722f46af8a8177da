"""``boot``: whether this node's agent starts with the machine. It asks and tells init, and needs no agent."""

import argparse
import os
from pathlib import Path
from typing import Any

from manager.cli.exit_codes import ExitCode
from manager.cli.seat import Seat
from manager.cli.starting import INIT_SCRIPT, Boot, Starting, agent_runs, read, switch
from manager.model.api import ApiError, ErrorKind
from manager.model.errors import DefiniteFailure, IndefiniteFailure

_SAYS = {
    Starting(Boot.ON): "The agent starts with this machine.",
    Starting(Boot.OFF): "The agent does not start with this machine: after a reboot this node stays away.",
    Starting(Boot.PREV): "The agent is after a reboot as it was before: started.",
    Starting(Boot.PREV, stopped=True): "The agent is after a reboot as it was before: stopped.",
}
_MODULES = (
    "  With the agent each module is started that nobody has stopped; mirrorfarm maintenance MODULE --boot off keeps "
    "one from it."
)
_ROOT = Path("/")


def add(commands: Any) -> None:
    """Declare the command."""
    boot = commands.add_parser(
        "boot",
        help="whether this node's agent starts with the machine: on, off, or as it was; or show it",
        description="Tells this machine's init whether to start the agent when the machine starts. "
        "prev: only if it was not stopped when the machine went down. Takes effect with the next start of the machine.",
    )
    boot.add_argument("boot", metavar="on|off|prev", choices=tuple(Boot), nargs="?", help="shown when left out")
    boot.set_defaults(run=run_boot)


def run_boot(args: argparse.Namespace, seat: Seat) -> int:
    """Switch it when asked for, and show how it is."""
    try:
        if args.boot:
            _refuse_to_others(args.boot)
            switch(Boot(args.boot), runs=agent_runs())
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
    if found.boot is not Boot.OFF:
        seat.out.print(_MODULES, soft_wrap=True)
    return ExitCode.OK


def _refuse_to_others(boot: str) -> None:
    if os.geteuid() != 0:
        raise ApiError(
            ErrorKind.REFUSED, "Only root can tell init what to start.", meaning="Nothing was changed.",
            remedy=f"As root: mirrorfarm boot {boot}",
        )  # fmt: skip
    if not os.access(INIT_SCRIPT, os.X_OK):
        raise ApiError(
            ErrorKind.REFUSED, f"There is no {INIT_SCRIPT}.", meaning="Nothing was changed.",
            remedy="Install Mirrorfarm on this machine: make install, or install of a bundle.",
        )  # fmt: skip
