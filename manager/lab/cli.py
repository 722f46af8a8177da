"""``mirrorfarm lab``: the lab's part of the command line. It decides nothing: it calls manager.lab.lab, and prints."""

import argparse
import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from manager.cli.exit_codes import ExitCode
from manager.lab.demo import story
from manager.lab.errors import LabError
from manager.lab.etcd import Etcd
from manager.lab.host import check_machine
from manager.lab.lab import Lab, remove_leftovers
from manager.lab.layout import DEFAULT_LEASE_TTL_S, NAME_VARIABLE
from manager.lab.machine import RunningMachine, What
from manager.lab.states import MachineState
from manager.lab.switch import Lost
from manager.model.codec import to_plain

_ABOUT = """\
A cluster on this one machine: nodes, a witness and a client, made of namespaces and disk images. Inside a node
everything is where it is on a real machine: mirrorfarm lab exec a -- CMD runs CMD there. There can be one lab at a
time; "down" removes it and leaves nothing. It has to be run as root.
"""
_MORE = f"""\
addresses: a 10.77.0.1, b 10.77.0.2, ...; client 10.77.0.200; witness 10.77.0.250; the same below fd77::/64.
/srv is ext4 on a (c, e, ...), xfs on b (d, f, ...). etcd runs on the first two nodes and the witness.
Each machine counts its own time since it got power (CLOCK_BOOTTIME, CLOCK_MONOTONIC); wall time is this machine's.
{NAME_VARIABLE}=NAME in the environment: all commands are about the lab of that name, beside the one without.
"""


def add_parser(commands: Any) -> None:
    """Declare ``lab`` and its commands."""
    lab = commands.add_parser(
        "lab", help="a cluster on this one machine, to try things out", description=_ABOUT, epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    verbs = lab.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    _add_whole(verbs)
    _add_machines(verbs)
    _add_faults(verbs)


def _add_whole(verbs: Any) -> None:
    up = verbs.add_parser("up", help="make a lab and start its agents")
    up.add_argument("--nodes", metavar="A,B", default="a,b", help="letters (default: a,b)")
    up.add_argument("--dir", metavar="DIR", default="", help="for disks and logs (default: /var/lib/mirrorfarm-lab)")
    up.add_argument("--ttl", metavar="S", type=_seconds, help="take it down after S seconds, whatever happens")
    up.add_argument(
        "--lease-ttl", metavar="S", type=int, default=DEFAULT_LEASE_TTL_S,
        help=f"lease.ttl in agent.toml, in seconds (default: {DEFAULT_LEASE_TTL_S})",
    )  # fmt: skip
    up.add_argument("--no-agents", action="store_true", help="do not start the agents")
    up.set_defaults(lab=_up)
    verbs.add_parser("check", help="whether a lab can be on this machine, or what is missing").set_defaults(lab=_check)
    verbs.add_parser("down", help="end and remove all of it").set_defaults(lab=_down)
    state = verbs.add_parser("state", help="its machines, cables and etcd members")
    state.add_argument("--json", action="store_true", help="as JSON")
    state.set_defaults(lab=_state)
    show = verbs.add_parser("demo", help="nginx on a farm, PostgreSQL on a mirror, and a crash; in a lab of its own")
    show.add_argument("--dir", metavar="DIR", default="", help="for the lab's disks and logs")
    show.set_defaults(lab=_demo)


def _add_machines(verbs: Any) -> None:
    execute = verbs.add_parser("exec", help="run a command on a node (or on witness, client)")
    _add_machine(execute)
    client = verbs.add_parser("client", help="run a command on the client")
    for parser in (execute, client):
        parser.add_argument("argv", metavar="-- CMD", nargs=argparse.REMAINDER, help="the command and its arguments")
    execute.set_defaults(lab=_exec)
    client.set_defaults(lab=_exec, machine="client")
    start = verbs.add_parser("start", help="start a machine that crashed, with its etcd and its agent")
    _add_machine(start)
    start.set_defaults(lab=_start)


def _add_faults(verbs: Any) -> None:
    crash = verbs.add_parser("crash", help="end a machine at one moment")
    _add_machine(crash)
    crash.add_argument("--power", action="store_true", help="what was not fsynced is lost, and the boot id is another")
    crash.set_defaults(lab=_crash)
    kill = verbs.add_parser("kill", help="kill -9 to a part of a machine")
    _add_machine(kill)
    kill.add_argument("what", metavar="WHAT", type=What, choices=list(What), help=", ".join(What))
    kill.set_defaults(lab=_kill)
    _add_cables(verbs)
    _add_filling(verbs)
    freeze = verbs.add_parser("freeze", help="stop a machine, or a part of it, without it noticing")
    _add_machine(freeze)
    _add_part(freeze)
    freeze.set_defaults(lab=_freeze)
    thaw = verbs.add_parser("thaw", help="go on with what was frozen")
    thaw.add_argument("machine", metavar="NODE", nargs="?", help="default: everywhere")
    _add_part(thaw)
    thaw.set_defaults(lab=_thaw)
    etcd = verbs.add_parser("etcd", help="stop, start or freeze members of etcd (thaw goes on with frozen ones)")
    etcd.add_argument("action", metavar="stop|start|freeze", choices=("stop", "start", "freeze"))
    etcd.add_argument("members", metavar="MEMBER", nargs="*", help="machines (default: all members)")
    etcd.set_defaults(lab=_etcd)


def _add_cables(verbs: Any) -> None:
    cut = verbs.add_parser("cut", help="cut a machine off from another one, or from all; frames vanish silently")
    _add_machine(cut)
    cut.add_argument("other", metavar="OTHER", nargs="?", help="default: all others")
    direction = cut.add_mutually_exclusive_group()
    direction.add_argument(
        "--one-way", dest="lost", action="store_const", const=Lost.SENT, default=Lost.ALL,
        help="only what NODE sends vanishes; what it is sent arrives",
    )  # fmt: skip
    direction.add_argument(
        "--deaf", dest="lost", action="store_const", const=Lost.RECEIVED,
        help="only what NODE is sent vanishes; what it sends arrives",
    )  # fmt: skip
    cut.add_argument("--etcd", action="store_true", help="only etcd's frames vanish; the nodes still hear one another")
    cut.set_defaults(lab=_cut)
    slow = verbs.add_parser("slow", help="let no more than RATE through a machine's cable, in each direction")
    _add_machine(slow)
    slow.add_argument("rate", metavar="RATE", help="as tc(8) writes it: 2mbit, 500kbit")
    slow.set_defaults(lab=_slow)
    verbs.add_parser("heal", help="undo every cut and slow").set_defaults(lab=_heal)


def _add_filling(verbs: Any) -> None:
    fill = verbs.add_parser("fill", help="fill a node's /srv")
    fill.add_argument("--leave", metavar="BYTES", type=int, default=0, help="so much stays free (default: nothing)")
    fill.set_defaults(lab=_fill)
    free = verbs.add_parser("free", help="undo fill")
    free.set_defaults(lab=_free)
    for parser in (fill, free):
        _add_machine(parser)


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("machine", metavar="NODE", help="a, b, ..., witness or client")


def _add_part(parser: argparse.ArgumentParser) -> None:
    words = f"a part of it: {', '.join(What)}"
    parser.add_argument("what", metavar="WHAT", nargs="?", type=What, choices=list(What), help=words)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text}: between 1 and 1000000 seconds")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Run one command of ``lab``; returns the exit code."""
    try:
        return int(args.lab(args))
    except LabError as error:
        print(f"mirrorfarm lab: {error}", file=sys.stderr)
        return ExitCode.FAILED


def _up(args: argparse.Namespace) -> int:
    nodes = tuple(name for name in args.nodes.split(",") if name)
    lab = Lab.up(nodes, args.dir, ttl_s=args.ttl, lease_ttl_s=args.lease_ttl, agents=not args.no_agents)
    _show(lab.states())
    first = nodes[0]
    print(f"Logs: {lab.layout.directory}/*/log. On {first} there is a module to try:")
    for words in ("module apply /etc/mirrorfarm/modules/db", "start db", f"prim db --yes {first}", "state"):
        print(f"  mirrorfarm lab exec {first} -- mirrorfarm {words}")
    return ExitCode.OK


def _check(_: argparse.Namespace) -> int:
    check_machine()
    return ExitCode.OK


def _down(_: argparse.Namespace) -> int:
    if not remove_leftovers():
        print("No lab is up.")
    return ExitCode.OK


def _state(args: argparse.Namespace) -> int:
    states = Lab.find().states()
    if args.json:
        print(json.dumps([to_plain(s) for s in states]))
    else:
        _show(states)
    return ExitCode.OK


def _demo(args: argparse.Namespace) -> int:
    return story.main(args.dir)


def _exec(args: argparse.Namespace) -> int:
    command = Lab.find()[args.machine].command(command_words(args.argv))
    sys.stdout.flush()
    os.execvp(command[0], command)


def command_words(rest: list[str]) -> list[str]:
    """The command after ``exec NODE``; whether argparse leaves the ``--`` in depends on Python's version.

    Raises:
        LabError: there is none.
    """
    words = rest[1:] if rest[:1] == ["--"] else rest
    if not words:
        raise LabError("which command? As in: mirrorfarm lab exec a -- mirrorfarm state")
    return words


def _start(args: argparse.Namespace) -> int:
    Lab.find().start(args.machine)
    return ExitCode.OK


def _crash(args: argparse.Namespace) -> int:
    Lab.find().crash(args.machine, power=args.power)
    return ExitCode.OK


def _cut(args: argparse.Namespace) -> int:
    Lab.find().cut(args.machine, args.other, lost=args.lost, etcd_alone=args.etcd)
    return ExitCode.OK


def _slow(args: argparse.Namespace) -> int:
    Lab.find().slow(args.machine, args.rate)
    return ExitCode.OK


def _fill(args: argparse.Namespace) -> int:
    Lab.find().fill(args.machine, args.leave)
    return ExitCode.OK


def _free(args: argparse.Namespace) -> int:
    Lab.find().free(args.machine)
    return ExitCode.OK


def _kill(args: argparse.Namespace) -> int:
    Lab.find().kill(args.machine, args.what)
    return ExitCode.OK


def _heal(_: argparse.Namespace) -> int:
    Lab.find().heal()
    return ExitCode.OK


def _freeze(args: argparse.Namespace) -> int:
    Lab.find().freeze(args.machine, args.what)
    return ExitCode.OK


def _thaw(args: argparse.Namespace) -> int:
    Lab.find().thaw(args.machine, args.what)
    return ExitCode.OK


def _etcd(args: argparse.Namespace) -> int:
    lab = Lab.find()
    members = _members(lab, args.members)
    {"stop": Etcd.stop, "start": Etcd.start, "freeze": Etcd.freeze}[args.action](lab.etcd, members)
    return ExitCode.OK


def _members(lab: Lab, names: list[str]) -> list[RunningMachine]:
    return [lab[lab.layout.etcd_member(name).name] for name in names] or list(lab.etcd.members)


def _show(states: list[MachineState]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("MACHINE", "ADDRESS", "POWER", "AGENT", "ETCD", "CUT FROM", "CABLE", "PROCESSES"):
        table.add_column(heading)
    for s in states:
        cable = f"{s.slow_bits / 1e6:g} Mbit/s" if s.slow_bits else "-"
        table.add_row(
            s.name, s.ipv4, s.power, s.agent or "-", s.etcd or "-", ", ".join(s.cut_from) or "-", cable,
            str(s.processes),
        )  # fmt: skip
    width = None if sys.stdout.isatty() else 120
    Console(width=width, markup=False, highlight=False).print(table)
