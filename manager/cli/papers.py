"""What the commands that make certificates share: where the authority is, and how they speak."""

import argparse
import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

from manager.cli.seat import Seat
from manager.config_files import load_agent_config
from manager.model.api import ApiError, ErrorKind
from manager.model.config import AgentConfig, TlsConfig
from manager.model.errors import ConfigError
from manager.pki.register import MOST_DAYS, NODE_DAYS

if TYPE_CHECKING:
    from manager.pki.authority import Office


def add_directory(parser: argparse.ArgumentParser) -> None:
    """``--directory``."""
    parser.add_argument("--directory", metavar="DIR", default="", help="default: tls.directory of agent.toml")


def add_days(parser: argparse.ArgumentParser, default: int | None = NODE_DAYS, words: str = f"{NODE_DAYS}") -> None:
    """``--days N``; ``words``: what is shown of ``default``."""
    parser.add_argument(
        "--days", metavar="N", type=_days, default=default, help=f"how long it is good (default: {words})"
    )


def say(seat: Seat, line: str) -> None:
    """As one line, however long: some are to be run as they stand."""
    seat.out.print(line, soft_wrap=True)


def open_office(args: argparse.Namespace, config: AgentConfig | None) -> "Office":
    """The authority's, on this machine or not."""
    from manager.pki.authority import Office  # brings cryptography with it, which no other command needs

    directory = args.directory or (config.tls.directory if config is not None else TlsConfig().directory)
    own_node = config.node if config is not None else ""
    return Office(Path(os.path.abspath(directory)), own_node, datetime.datetime.now(datetime.UTC))


def own_config(seat: Seat) -> AgentConfig | None:
    """This machine may be no node: then there is none."""
    try:
        return load_agent_config(seat.config_file)
    except (ConfigError, OSError):
        return None


def unwritten(error: OSError) -> ApiError:
    """What could not be read or written, in words."""
    return ApiError(
        ErrorKind.FAILED,
        f"The files of the authority cannot be read or written: {error}.",
        meaning="What the nodes have is as it was. A certificate may be in the register and in no file.",
        remedy="Run it as root, with room on the disk; mirrorfarm pki show tells what was issued.",
    )


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of days from 1 to {MOST_DAYS}")
    return int(text)
