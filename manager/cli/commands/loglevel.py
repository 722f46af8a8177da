"""``loglevel``: from which level on a node's agent and its replicators log; another one for a while."""

import argparse
from collections.abc import Iterator
from typing import Any, Final

from manager.cli.commands.arguments import add_json, add_node, duration_ms, name_or_none
from manager.cli.exit_codes import ExitCode
from manager.cli.level_words import level_word, standing_words
from manager.cli.seat import Seat
from manager.model.api_log_levels import (
    DEFAULT_FOR_MS,
    LEAST_FOR_MS,
    MOST_FOR_MS,
    LogLevelArguments,
    LogLevels,
    LogLevelsArguments,
)
from manager.model.log_words import LogLevel

CONFIGURED: Final = "configured"
_WORDS: Final = (*(level.value for level in LogLevel), CONFIGURED)


def add(commands: Any) -> None:
    """Declare the command."""
    levels = commands.add_parser(
        "loglevel",
        help="from which level on this node logs; or another one for a while",
        description="Shows from which level on this node's agent and its replicators log. With a level: has them log "
        f"from that one on, at once and for a while, then as configured again; {CONFIGURED} ends that now. It ends "
        "with the agent, too: for good, log.level in agent.toml says it.",
    )
    levels.add_argument("level", metavar="|".join(_WORDS), choices=_WORDS, nargs="?", help="shown when left out")
    levels.add_argument(
        "-m",
        "--module",
        metavar="MODULE",
        type=name_or_none,
        default="",
        help="of this module alone: its replicator, and what the agent says of it (default: all, and the agent)",
    )
    levels.add_argument(
        "--for",
        dest="for_ms",
        metavar="D",
        type=for_ms,
        default=None,
        help=f'for how long, as "90 s" or "2 h" (default: {DEFAULT_FOR_MS // 60_000} min; at the most '
        f"{MOST_FOR_MS // 3_600_000} h)",
    )
    add_node(levels, "of that node (default: this one)")
    add_json(levels)
    levels.set_defaults(run=run_loglevel)


def for_ms(text: str) -> int:
    """A duration that a level may stand for."""
    milliseconds = duration_ms(text)
    if not LEAST_FOR_MS <= milliseconds <= MOST_FOR_MS:
        bounds = f"from {LEAST_FOR_MS // 1000} s to {MOST_FOR_MS // 3_600_000} h"
        raise argparse.ArgumentTypeError(f"{text!r} is not {bounds}; for good, log.level in agent.toml says it")
    return milliseconds


def run_loglevel(args: argparse.Namespace, seat: Seat) -> int:
    """Change it when asked for, and show how it is."""
    if args.for_ms is not None and args.level in (None, CONFIGURED):
        seat.err.print("mirrorfarm: --for goes with a level that is to end")
        return ExitCode.USAGE
    asked: LogLevelsArguments | LogLevelArguments = LogLevelsArguments()
    if args.level is not None:
        level = None if args.level == CONFIGURED else LogLevel(args.level)
        asked = LogLevelArguments(level, args.module, args.for_ms or DEFAULT_FOR_MS)
    found: LogLevels = seat.client.call(asked, node=args.node)
    if args.json:
        seat.print_json(found)
        return ExitCode.OK
    for line in _lines(found, args.module):
        seat.out.print(line, soft_wrap=True)
    return ExitCode.OK


def _lines(found: LogLevels, module: str) -> Iterator[str]:
    if not module:
        yield f"{found.node}: the agent logs {_of(found, '')}"
    for one in found.replicators:
        if module not in ("", one.module):
            continue
        wanted = found.of(one.module)
        if one.refused:
            yield f"{one.module}: its replicator does not change its level while it runs: {one.refused}"
        elif one.level is None:
            yield f"{one.module}: from which level on its replicator logs is not known: it has not said so"
        elif wanted is not None and one.level is not wanted.level:
            yield f"{one.module}: its replicator logs from {one.level} on, and has not taken {level_word(wanted)} yet"
        elif wanted is None and one.level is not found.configured:
            yield f"{one.module}: its replicator logs from {one.level} on, as was configured when it was started"
        else:
            yield f"{one.module}: its replicator logs {_of(found, one.module)}"
    named = {one.module for one in found.replicators}
    for standing in found.standing:
        if standing.module and standing.module not in named and module in ("", standing.module):
            yield f"{standing.module}: the agent logs of it {_of(found, standing.module)}"
    if module and module not in named and found.of(module) is None:
        yield f"{module}: no replicator of it runs on {found.node}; the agent logs of it {_of(found, module)}"


def _of(found: LogLevels, module: str) -> str:
    standing = found.of(module)
    configured = found.configured or "a level that is not known here"
    if standing is None:
        return f"from {configured} on, as configured"
    return f"{standing_words(standing)}; then as configured, from {configured} on"
