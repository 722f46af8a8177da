"""What a string of a configuration may be: each rule is a sentence for the reader and a test for the code."""

import ipaddress
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass

from manager.model.ids import NAME_RULE, is_name


@dataclass(frozen=True, slots=True)
class Rule:
    """``holds`` tells whether a string is allowed; ``allowed`` says it in words."""

    allowed: str
    holds: Callable[[str], bool]


_SERVICE = re.compile(r"[A-Za-z0-9_.@:-]{1,128}", re.ASCII)
_INTERFACE = re.compile(r"[^\s/]{1,15}", re.ASCII)
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", re.ASCII)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
HIGHEST_PORT = 65_535
_LONGEST_PATH = 4_095


def is_absolute(path: str) -> bool:
    """Whether ``path`` begins at the root, is written in its shortest way and names something below the root."""
    return (
        path.startswith("/")
        and path not in ("/", "//")
        and posixpath.normpath(path) == path
        and not path.startswith("//")
        and path.isprintable()
        and len(path.encode(errors="surrogatepass")) <= _LONGEST_PATH
    )


def is_below(path: str, directory: str) -> bool:
    """Whether ``path`` is ``directory`` or inside it; both absolute and normalised."""
    return path == directory or path.startswith(f"{directory}/")


def is_endpoint(text: str) -> bool:
    """Whether ``text`` is ``host:port``, an IPv6 address in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) <= HIGHEST_PORT:
        return False
    if host.startswith("[") and host.endswith("]"):
        return _version(host[1:-1]) == 6
    if re.fullmatch(r"[0-9.]+", host):
        return _version(host) == 4
    return _HOST.fullmatch(host) is not None and ".." not in host


def is_address(text: str) -> bool:
    """Whether ``text`` is an IP address that a node can have."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_multicast or "%" in text)


def _version(text: str) -> int:
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


NAME = Rule(f"a name: {NAME_RULE}", is_name)
PATH = Rule('an absolute path in its shortest form, as "/srv/db", and not "/"', is_absolute)
DIRECTORY = Rule(
    f"{PATH.allowed}; without ':', which stands between directories in what scripts are told",
    lambda text: is_absolute(text) and ":" not in text,
)
PATH_OR_NONE = Rule(f"{PATH.allowed}; or empty", lambda text: not text or is_absolute(text))
ENDPOINT = Rule('"host:port", as "10.0.0.1:2379" or "[fd00::1]:2379"', is_endpoint)
ADDRESS = Rule('an IP address of this node, as "10.0.0.1" or "fd00::1"', is_address)
ADDRESS_OR_NONE = Rule(f"{ADDRESS.allowed}; or empty", lambda text: not text or is_address(text))
SERVICE = Rule('the name of a service, as "postgresql"', lambda text: _SERVICE.fullmatch(text) is not None)
INTERFACE = Rule('the name of an interface, as "eth0"', lambda text: not text or _INTERFACE.fullmatch(text) is not None)
GROUP = Rule("the name of a group of this machine", lambda text: _GROUP.fullmatch(text) is not None)
ENV_NAME = Rule("letters, digits and '_', not a digit first", lambda text: _ENV_NAME.fullmatch(text) is not None)
ENV_VALUE = Rule("a string without the character NUL", lambda text: "\0" not in text)
ANY = Rule("a string in quotes", lambda text: True)
