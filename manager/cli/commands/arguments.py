"""Declarations that several commands share, and the checks of their values."""

import argparse
import ipaddress
import os

from manager.model.config.durations import RULE, parse_duration_ms
from manager.model.config.rates import RULE as RATE_RULE
from manager.model.config.rates import parse_rate
from manager.model.ids import NAME_RULE, is_name


def name(text: str) -> str:
    """The name of a module or node."""
    if not is_name(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name: {NAME_RULE}")
    return text


def name_or_none(text: str) -> str:
    """A name that may be left out: argparse has a default that is a text go through this, too."""
    return name(text) if text else ""


def address(text: str) -> str:
    """An IP address, as it is written."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from None


def address_or_none(text: str) -> str:
    """As :func:`name_or_none`, of an IP address."""
    return address(text) if text else ""


def duration_ms(text: str) -> int:
    """A duration with its unit, in milliseconds."""
    try:
        return parse_duration_ms(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {RULE}") from None


def count(text: str) -> int:
    """A whole number from 1 to 100000."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 100000")
    return int(text)


def bytes_s(text: str) -> int:
    """A rate with its unit, in bytes per second; "0 MiB/s": no limit."""
    try:
        return parse_rate(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {RATE_RULE}") from None


def add_module(parser: argparse.ArgumentParser) -> None:
    """``MODULE``, always needed."""
    parser.add_argument("module", metavar="MODULE", type=name, help="the module's name")


def add_module_of_script(parser: argparse.ArgumentParser) -> None:
    """``MODULE``, which a module's script need not name."""
    own = os.environ.get("MODULE", "")
    words = "the module's name (default: in a module's scripts, that one)"
    if is_name(own):
        parser.add_argument("module", metavar="MODULE", type=name, nargs="?", default=own, help=words)
    else:
        parser.add_argument("module", metavar="MODULE", type=name, help=words)


def add_node(parser: argparse.ArgumentParser, help_text: str) -> None:
    """``--node N``."""
    parser.add_argument("--node", metavar="N", type=name_or_none, default="", help=help_text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs")


def add_waiting(parser: argparse.ArgumentParser, default_ms: int) -> None:
    """``--no-wait`` and ``--timeout``."""
    parser.add_argument("--no-wait", action="store_true", help="return as soon as it is asked for")
    add_timeout(parser, default_ms)


def add_timeout(parser: argparse.ArgumentParser, default_ms: int) -> None:
    """``--timeout D``."""
    parser.add_argument(
        "--timeout",
        metavar="D",
        type=duration_ms,
        default=default_ms,
        help=f'how long to wait, as "90 s" or "5 min" (default: {default_ms // 1000} s)',
    )
