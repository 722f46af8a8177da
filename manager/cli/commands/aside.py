"""``aside``: what this node has set aside of what it alone had, before its copy was made another one's (S12)."""

import argparse
import dataclasses
import os
from collections.abc import Callable
from typing import Any, Final

from manager.cli.accepting import why_not_named
from manager.cli.asides import aside_lines, list_text, restored_text, show_text, what_is_cleared
from manager.cli.commands.arguments import add_json, add_module, count, name_or_none
from manager.cli.commands.state import one_module
from manager.cli.exit_codes import ExitCode
from manager.cli.seat import Seat
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_asides import (
    AsideClearArguments,
    AsideGiveUpArguments,
    AsideListArguments,
    AsideRestoreArguments,
    AsideShowArguments,
)
from manager.model.asides import MAX_ITEMS, Aside, AsideReport, path_text

_ALL: Final = "all"
_SHOWN: Final = 100
_PATH: Final = "as show names it, with all that is kept below it"
_WORDS: Final = """\
After a forced start (prim --force) the former primary's own version of all that differs is set aside on its node,
before its copy is made equal to the other one's. To be asked on that node, where the module has to be started; or by
--node before the command, and what changes something by --operator beside it.
Without one of the words below, it is listed."""
_OVERWRITES: Final = """\
{module}: what {node} alone has will be overwritten with the primary's copy, and nothing of it will be kept."""


def add(commands: Any) -> None:
    """Declare the command."""
    aside = commands.add_parser(
        "aside",
        help="what was set aside on this node after a forced start: list, show, restore, clear",
        description=_WORDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_module(aside)
    add_json(aside)
    aside.set_defaults(run=run_list)
    words = aside.add_subparsers(metavar="WORD")

    def word(text: str, help_text: str, run: Callable[[argparse.Namespace, Seat], int]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = words.add_parser(text, help=help_text)
        parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object")
        parser.set_defaults(run=run)
        return parser

    word("list", "what is set aside (default)", run_list)
    show = word("show", "what is in one of them", run_show)
    show.add_argument("number", metavar="N", type=count, help="its number in the list")
    show.add_argument("path", metavar="PATH", nargs="?", default="", help="only this, and what is below it")
    show.add_argument(
        "--limit", metavar="N", type=count, default=_SHOWN, help=f"how many to name at the most (default: {_SHOWN})"
    )
    restore = word("restore", "copy something out of one of them", run_restore)
    restore.add_argument("number", metavar="N", type=count, help="its number in the list")
    restore.add_argument("path", metavar="PATH", help=_PATH)
    restore.add_argument(
        "--to", metavar="TARGET", required=True, help="must not exist; not in the module's own directories"
    )
    clear = word("clear", "delete one of them, or all, for good", run_clear)
    clear.add_argument("number", metavar="N|all", type=_number_or_all, help="its number in the list, or all of them")
    clear.add_argument("--yes", action="store_true", help="do not ask")
    give_up = word("give-up", "keep nothing of what is yet to be set aside on this node", run_give_up)
    give_up.add_argument("--yes", metavar="NODE", type=name_or_none, default="", help="do not ask: this node's name")


def run_list(args: argparse.Namespace, seat: Seat) -> int:
    """List them; which other nodes have some is said as well."""
    report: AsideReport = seat.client.call(AsideListArguments(args.module))
    if args.json:
        seat.print_json(report)
        return ExitCode.OK
    view, here = one_module(seat, args.module)
    seat.out.print(list_text(args.module, here, report))
    for line in aside_lines(view, but=here):
        seat.out.print(line)
    return ExitCode.OK


def run_show(args: argparse.Namespace, seat: Seat) -> int:
    """Name what is in one of them, as much of it as is asked for."""
    path = _typed(args, args.path) if args.path else ""
    report = _page(seat, args, path, 0)
    items = report.items
    while len(items) < min(args.limit, report.items_total):
        report = _page(seat, args, path, len(items))
        if not report.items:
            break  # It was cleared meanwhile.
        items += report.items
    report = dataclasses.replace(report, items=items)
    if args.json:
        seat.print_json(report)
    else:
        seat.out.print(show_text(args.module, _one(report, args), path, report))
    return ExitCode.OK


def _page(seat: Seat, args: argparse.Namespace, path: str, skip: int) -> AsideReport:
    limit = min(args.limit - skip, MAX_ITEMS)
    report: AsideReport = seat.client.call(AsideShowArguments(args.module, args.number, path, skip, limit))
    return report


def run_restore(args: argparse.Namespace, seat: Seat) -> int:
    """Copy something out; it stays in the aside."""
    path = _typed(args, args.path)
    # A name on the machine, as the shell hands it over: a backslash in it is one.
    target = os.path.abspath(_there(args, args.to))
    asked = AsideRestoreArguments(args.module, args.number, path, path_text(os.fsencode(target)))
    report: AsideReport = seat.client.call(asked, timeout_s=None)
    if args.json:
        seat.print_json(report)
    else:
        seat.out.print(restored_text(args.module, args.number, path, asked.target, report), soft_wrap=True)
    return ExitCode.OK


def run_clear(args: argparse.Namespace, seat: Seat) -> int:
    """Delete, once the operator has said so."""
    report: AsideReport = seat.client.call(AsideListArguments(args.module))
    chosen = report.asides if args.number == 0 else (_one(report, args),)
    if chosen and not args.yes and not _says_yes(args.module, chosen, seat):
        seat.err.print("mirrorfarm: nothing was changed (--yes does not ask).")
        return ExitCode.FAILED
    for one in chosen:  # By their numbers: what was set aside since they were shown is not among them.
        report = seat.client.call(AsideClearArguments(args.module, one.number), timeout_s=None)
    if args.json:
        seat.print_json(report)
    else:
        words = ", ".join(str(one.number) for one in chosen)
        seat.out.print(f"{args.module}: cleared: {words or 'nothing, since nothing is set aside'}")
    return ExitCode.OK


def _says_yes(module: str, chosen: tuple[Aside, ...], seat: Seat) -> bool:
    seat.err.print(f"{module}: this will be deleted for good:", style="bold red")
    for line in what_is_cleared(chosen):
        seat.err.print(line, soft_wrap=True)
    return seat.answer("Type yes to delete it: ") == "yes"


def run_give_up(args: argparse.Namespace, seat: Seat) -> int:
    """Let this node's own changes go, once the operator has named it."""
    report: AsideReport = seat.client.call(AsideListArguments(args.module))
    _, here = one_module(seat, args.module)
    if not report.diverged:
        raise ApiError(
            ErrorKind.REFUSED,
            f"Nothing of {args.module} is yet to be set aside on {here}, so nothing has to be given up.",
            meaning=UNCHANGED,
            remedy=f"To delete what is set aside: mirrorfarm aside {args.module} clear N",
        )
    if not args.yes:
        seat.err.print(_OVERWRITES.format(module=args.module, node=here), style="bold red", soft_wrap=True)
        why_not = why_not_named(seat, "node whose changes are to be lost", here, "")
        if why_not:
            seat.err.print(f"mirrorfarm: nothing was changed: {why_not} (--yes {here} does not ask).", soft_wrap=True)
            return ExitCode.FAILED
    report = seat.client.call(AsideGiveUpArguments(args.module, args.yes or here))
    if args.json:
        seat.print_json(report)
    else:
        seat.out.print(f"{args.module}: {here} keeps nothing of its own, and is brought in sync")
    return ExitCode.OK


def _one(report: AsideReport, args: argparse.Namespace) -> Aside:
    """The aside of that number.

    Raises:
        ApiError: there is none.
    """
    module, number, where = args.module, args.number, args.asked or "this node"
    found = next((one for one in report.asides if one.number == number), None)
    if found is None:
        numbers = ", ".join(str(one.number) for one in report.asides)
        raise ApiError(
            ErrorKind.NOT_FOUND,
            f"There is no aside {number} of {module} on {where}: there is {numbers or 'none'}.",
            meaning=UNCHANGED,
            remedy=f"mirrorfarm aside {module} lists them; mirrorfarm state {module} says which other nodes have some.",
        )
    return found


def _there(args: argparse.Namespace, path: str) -> str:
    """``path``, which means something on the node that is asked.

    Raises:
        ApiError: that is another one, and the path is relative to where somebody is on this one.
    """
    if args.asked and not os.path.isabs(path):
        raise ApiError(
            ErrorKind.BAD_REQUEST,
            f"{path} is relative to a directory of this machine, and it is one of {args.asked} that is meant.",
            meaning=UNCHANGED,
            remedy="With --node before the command, name the whole path, from / on.",
        )
    return path


def _typed(args: argparse.Namespace, path: str) -> str:
    """A path as ``show`` names it, made absolute."""
    if not os.path.isabs(_there(args, path)):
        path = os.path.join(path_text(os.fsencode(os.getcwd())), path)
    return os.path.normpath(path)


def _number_or_all(text: str) -> int:
    """The number of one; 0: ``all``."""
    return 0 if text == _ALL else count(text)
