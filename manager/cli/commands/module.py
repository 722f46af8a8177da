"""``module check|apply|show|export|remove``: a module's folder, here and in the cluster."""

import argparse
from pathlib import Path
from typing import Any

from manager.cli.commands.arguments import add_json, add_module, name
from manager.cli.exit_codes import ExitCode
from manager.cli.seat import Seat
from manager.config_files import load_module_folder, write_module_folder
from manager.model.api import UNCHANGED, ApiError, ErrorKind, NodeInfo, NodeInfoArguments
from manager.model.api_modules import (
    ApplyArguments,
    ApplyResult,
    ModuleFolder,
    RemoveArguments,
    RemoveResult,
    ShowArguments,
)
from manager.model.config import AnyModule, ModuleConfig, parse_module


def add(commands: Any) -> None:
    """Declare the command and what follows it."""
    module = commands.add_parser("module", help="check, apply, show, export or remove a module's configuration")
    verbs = module.add_subparsers(dest="verb", metavar="VERB", required=True)

    check = verbs.add_parser("check", help="say what is wrong with a module's folder; needs no agent")
    check.add_argument("folder", metavar="DIR", help="the folder with module.toml")
    check.set_defaults(run=run_check)

    apply = verbs.add_parser("apply", help="make a folder the module's configuration in the cluster")
    apply.add_argument("folder", metavar="DIR", help="the folder with module.toml")
    apply.add_argument(
        "--adopt", action="store_true", help="where etcd was rebuilt: be the module that this node's disks belong to"
    )
    add_json(apply)
    apply.set_defaults(run=run_apply)

    show = verbs.add_parser("show", help="print what was applied")
    add_module(show)
    add_json(show)
    show.set_defaults(run=run_show)

    export = verbs.add_parser("export", help="write what was applied to a new folder")
    add_module(export)
    export.add_argument("folder", metavar="DIR", help="the folder to make")
    export.set_defaults(run=run_export)

    remove = verbs.add_parser("remove", help="take a stopped module out of the cluster; its data stays")
    add_module(remove)
    remove.add_argument(
        "--gone", metavar="N", type=name, action="append", default=[], help="a node that will never come back"
    )
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.set_defaults(run=run_remove)


def run_check(args: argparse.Namespace, seat: Seat) -> int:
    """Say what is wrong with a folder."""
    toml, scripts = load_folder(args.folder)
    config = parse_module(toml, scripts, f"{args.folder}/module.toml")
    seat.out.print(f"{args.folder}: module {config.name} is in order: {config.kind} on {', '.join(config.nodes)}")
    return ExitCode.OK


def run_apply(args: argparse.Namespace, seat: Seat) -> int:
    """Give a folder to the cluster; it is checked here first, where the files are."""
    toml, scripts = load_folder(args.folder)
    config = parse_module(toml, scripts, f"{args.folder}/module.toml")
    result: ApplyResult = seat.client.call(ApplyArguments(toml, scripts, args.adopt))
    if args.json:
        seat.print_json(result)
        return ExitCode.OK
    if not result.changed:
        seat.out.print(f"{result.module}: unchanged, generation {result.generation}")
        return ExitCode.OK
    verb = "applied" if result.created else "changed"
    seat.out.print(f"{result.module}: {verb}, generation {result.generation}, on {', '.join(result.nodes)}")
    if result.started_on:
        where = ", ".join(result.started_on)
        name = result.module
        again = f"mirrorfarm stop {name} and mirrorfarm start {name}"
        if isinstance(config, ModuleConfig):
            again = f"mirrorfarm restart {name}, as far as it is about the application; the rest after {again}"
        seat.out.print(f"  Started on {where}: it counts there after {again}", soft_wrap=True)
    elif result.created:
        seat.out.print(f"  To start it: mirrorfarm start {config.name}")
    _warn_of_strangers(config, seat)
    return ExitCode.OK


def _warn_of_strangers(config: AnyModule, seat: Seat) -> None:
    """A node's name may be mistyped: say which have no agent now."""
    info: NodeInfo = seat.client.call(NodeInfoArguments())
    known = {n.node for n in info.nodes}
    for node in config.nodes:
        if node not in known:
            seat.err.print(
                f"  No agent of a node {node} is registered: it is down, or {node} is not its name "
                f"(registered: {', '.join(sorted(known)) or 'none'}).",
                style="yellow",
                soft_wrap=True,
            )


def run_show(args: argparse.Namespace, seat: Seat) -> int:
    """Print what was applied."""
    folder: ModuleFolder = seat.client.call(ShowArguments(args.module))
    if args.json:
        seat.print_json(folder)
        return ExitCode.OK
    seat.err.print(f"generation {folder.generation}, applied {folder.applied_at} by {folder.applied_by}")
    seat.print_text(f"{folder.toml.rstrip()}\n")
    for script, text in sorted(folder.scripts.items()):
        seat.print_text(f"\n# ---- scripts/{script}\n{text.rstrip()}\n")
    return ExitCode.OK


def run_export(args: argparse.Namespace, seat: Seat) -> int:
    """Write what was applied to a folder that ``module apply`` takes again."""
    folder: ModuleFolder = seat.client.call(ShowArguments(args.module))
    path = Path(args.folder)
    try:
        write_module_folder(path, folder.toml, folder.scripts)
    except FileExistsError:
        raise ApiError(
            ErrorKind.REFUSED, f"{path} is there already.", remedy="Name a folder that is not there yet."
        ) from None
    except OSError as error:
        raise ApiError(
            ErrorKind.FAILED,
            f"{path} cannot be written: {error.strerror}.",
            remedy="Its parent folder has to be there, and to have room.",
        ) from None
    seat.out.print(f"{folder.module}: generation {folder.generation} written to {path}")
    return ExitCode.OK


def run_remove(args: argparse.Namespace, seat: Seat) -> int:
    """Take a module out of the cluster, once the operator has agreed."""
    module = args.module
    if not args.yes:
        seat.err.print(
            f"This takes module {module} out of the cluster, with its history. What is on its nodes' disks stays there."
            "\nIf it is a mirror, the record of which node has the good data goes too. If it is applied again, it is a "
            "new one:\nremove .mirrorfarm in each directory first, then name the node with the good data (prim).",
            soft_wrap=True,
        )
        if seat.answer(f"Type the module's name to go on [{module}]: ") != module:
            seat.err.print("mirrorfarm: nothing was removed (--yes does not ask).")
            return ExitCode.FAILED
    result: RemoveResult = seat.client.call(RemoveArguments(module, tuple(args.gone)))
    left, stay = ", ".join(result.directories), "stays" if len(result.directories) == 1 else "stay"
    seat.out.print(f"{result.module}: removed; {left} {stay} on every node" if left else f"{result.module}: removed")
    return ExitCode.OK


def load_folder(folder: str) -> tuple[str, dict[str, str]]:
    """The text of ``module.toml``, and of each script by its name.

    Raises:
        ConfigError: something is wrong with it.
        ApiError: it cannot be read.
    """
    try:
        return load_module_folder(folder)
    except OSError as error:
        raise ApiError(
            ErrorKind.FAILED,
            f"{folder} cannot be read: {error.strerror}: {error.filename}.",
            meaning=UNCHANGED,
            remedy="Name the folder that has module.toml in it, and see that it can be read.",
        ) from None
