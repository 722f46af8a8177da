"""``mirrorfarm``: the operator's command line.

It reads the command, makes the calls on this node's agent, or by it on another node's, and shows what comes back. It
decides nothing about the cluster: the agent does that, through etcd.
"""

import argparse
import datetime
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import NoReturn

import manager
from manager.cli.client import AgentClient, Interrupted
from manager.cli.commands.arguments import address_or_none, name_or_none
from manager.cli.exit_codes import EPILOG, OF_ERROR, ExitCode
from manager.cli.local_config import DEFAULT_CONFIG, channel_settings, socket_path
from manager.cli.seat import Seat, make_console
from manager.model.api import ApiError, ErrorKind
from manager.model.api_channel import READING
from manager.model.config import NetworkConfig, TlsConfig, TlsMode
from manager.model.errors import ConfigError

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "check": ("check",),
    "boot": ("boot",),
    "module": ("module",),
    "steer": ("start", "stop", "restart", "swap"),
    "prim": ("prim",),
    "maintenance": ("maintenance",),
    "state": ("state", "why", "wait", "history"),
    "logs": ("logs",),
    "loglevel": ("loglevel",),
    "snapshot": ("snapshot",),
    "verify": ("verify",),
    "diff": ("diff",),
    "aside": ("aside",),
    "farm": ("farm",),
    "pki": ("pki",),
    "etcd": ("etcd",),
}
"""The modules of :mod:`manager.cli.commands`, in the order of the help, and what each of them declares.

Only the one that is asked for is loaded: scripts and checkers run these commands again and again.
"""
_WITH_A_VALUE = ("--config", "--socket", "--node", "--operator", "--at")
"""Options before the command."""
_LAB = "manager.lab.cli"
"""Loaded only when it is asked for: it brings namespaces and mounts with it, which no other command needs."""
_OF_THIS_MACHINE = frozenset({"boot", "check", "etcd", "lab", "pki"})
"""Commands that look at this machine themselves, so that no other node can be asked."""
_UNANSWERED = """\
  The agent has not answered {call}: what it asks for may have been done, or may still be.
  mirrorfarm state shows how things stand; for a request to a node, mirrorfarm why MODULE --node N."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n  Help: {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (see ``--help``)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = build_parser(wants_lab(words), command_in(words)).parse_args(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.USAGE
    err = make_console(sys.stderr)
    if args.asked and is_of_this_machine(args):
        err.print(f"mirrorfarm: {args.command} looks at this machine itself: run it on {args.asked}.", soft_wrap=True)
        return ExitCode.USAGE
    if (args.operator and not args.asked) or (args.at and not args.operator):
        lacks = "--operator NAME goes with --node NODE" if args.operator else "--at IP goes with --operator NAME"
        err.print(f"mirrorfarm: {lacks}, before the command.", soft_wrap=True)
        return ExitCode.USAGE

    def on_silence(words: str) -> None:
        err.print(words, soft_wrap=True)

    path = args.socket or socket_path(args.config)
    own = AgentClient(path, on_silence, "" if args.operator else args.asked)
    seat = Seat(client=own, out=make_console(sys.stdout), err=err, config_file=args.config)
    if args.operator:
        try:
            seat.client = _as_operator(args, seat)
        except ApiError as error:
            seat.complain(error)
            return OF_ERROR.get(error.kind, ExitCode.FAILED)
    return run(args, seat)


def _as_operator(args: argparse.Namespace, seat: Seat) -> AgentClient:
    """Who asks by a certificate of his own. Raises ApiError: he has none that is good, or could not show it."""
    from manager.cli.operator_client import OperatorClient, by_agent
    from manager.cli.operator_papers import open_papers

    try:
        network, tls = channel_settings(args.config)
    except ConfigError as error:
        network, tls = NetworkConfig(), TlsConfig()
        told = f"mirrorfarm: {error}\n  The agents' port and the place of certificates are taken as by default."
        seat.err.print(told, style="yellow", soft_wrap=True)
    if tls.mode is TlsMode.OFF:
        raise ApiError(
            ErrorKind.REFUSED,
            f"An operator is known by his certificate, and {args.config} has the agents' channel in plain (tls.mode).",
            meaning="Nobody was asked, and nothing was changed.",
            remedy=f'Run the command on {args.asked}; or have tls.mode = "on" in agent.toml of all nodes '
            "(mirrorfarm pki).",
        )
    papers = open_papers(args.operator, tls.directory, seat.secret, datetime.datetime.now(datetime.UTC))
    if papers.soon:
        seat.err.print(papers.soon, style="yellow", soft_wrap=True)
    own = seat.client
    where = (lambda node: (args.at,)) if args.at else by_agent(own)
    return OperatorClient(papers, where, network.agent_port, args.asked, seat.tell)


def run(args: argparse.Namespace, seat: Seat) -> int:
    """Run the command in ``args`` at ``seat``, and say what went wrong."""
    try:
        return int(_lab().run(args) if args.command == "lab" else args.run(args, seat))
    except ApiError as error:
        seat.complain(error)
        return OF_ERROR.get(error.kind, ExitCode.FAILED)
    except ConfigError as error:
        seat.err.print(str(error), style="red", soft_wrap=True)
        return ExitCode.FAILED
    except KeyboardInterrupt as end:
        seat.err.print("mirrorfarm: given up.")
        if isinstance(end, Interrupted) and end.call not in READING:
            seat.err.print(_UNANSWERED.format(call=end.call), soft_wrap=True)
        return ExitCode.UNKNOWN
    except BrokenPipeError:
        # The reader of our output (head, less) has gone. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    finally:
        seat.client.close()


def is_of_this_machine(args: argparse.Namespace) -> bool:
    """Whether the command in ``args`` asks no agent for what it shows or does."""
    if args.command == "boot" and args.module:
        return False
    return args.command in _OF_THIS_MACHINE or (args.command, getattr(args, "verb", "")) == ("module", "check")


def wants_lab(words: Sequence[str]) -> bool:
    """Whether the command may be ``lab``, so that its part of the command line has to be loaded."""
    return "lab" in words


def command_in(words: Sequence[str]) -> str:
    """The command, when it is certain which one it is; else empty: then all of them have to be known to be shown."""
    left = iter(words)
    for word in left:
        if word in _WITH_A_VALUE:
            next(left, "")
        elif word.partition("=")[0] not in _WITH_A_VALUE:
            return word if word == "lab" or any(word in declared for declared in COMMANDS.values()) else ""
    return ""


def build_parser(with_lab: bool, command: str = "") -> argparse.ArgumentParser:
    """The whole command line, or what ``command`` needs of it; the parts of ``lab`` only ``with_lab``."""
    parser = _Parser(
        prog="mirrorfarm",
        description="Steer mirrors and farms: applications that keep running when a server dies, with their data.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mirrorfarm {manager.__version__}")
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=DEFAULT_CONFIG,
        help=f"the agent's configuration (default: {DEFAULT_CONFIG})",
    )
    parser.add_argument("--socket", metavar="PATH", default="", help="the agent's socket (default: as FILE says)")
    parser.add_argument(
        "--node",
        metavar="NODE",
        dest="asked",
        type=name_or_none,
        default="",
        help="ask the agent of NODE, by this node's (before COMMAND; default: this node's own)",
    )
    parser.add_argument(
        "--operator",
        metavar="NAME",
        type=name_or_none,
        default="",
        help="with --node: ask as operator NAME, by a certificate of his own (mirrorfarm pki issue --operator NAME), "
        "for what one node may not ask of another",
    )
    parser.add_argument(
        "--at", metavar="IP", type=address_or_none, default="",
        help="with --operator: where NODE is (default: as this node's agent knows it)",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for group in _groups(command):
        group.add(commands)
    if with_lab:
        lab = _lab()
        lab.add_parser(commands)
    else:
        commands.add_parser("lab", help="a cluster on this one machine, to try things out", add_help=False)
    return parser


def _groups(command: str) -> Iterator[ModuleType]:
    for module, declared in COMMANDS.items():
        if not command or command in declared:
            yield importlib.import_module(f"manager.cli.commands.{module}")


def _lab() -> ModuleType:
    return importlib.import_module(_LAB)


if __name__ == "__main__":
    sys.exit(main())
