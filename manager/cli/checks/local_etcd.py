"""How long the etcd of this machine waits before it elects another leader: no etcd tells that over the network.

What a process was started with counts; where none runs, what Debian's file has for the next start. Of the members on
other machines nothing is known here. ``root`` is ``/``, or a test's own tree.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DEFAULT_MS = 1000
"""etcd's own (etcd.io/docs/v3.4, "Configuration flags")."""
DEFAULTS_FILE = "etc/default/etcd"
"""Of Debian's package, for both inits: variables of the environment, DAEMON_ARGS with flags among them."""
_TIMEOUT, _CONFIG_FILE = "election-timeout", "config-file"


@dataclass(frozen=True, slots=True)
class ElectionTimeout:
    """Of an etcd of this machine."""

    milliseconds: int
    told_by: str
    """Who was told, in words: a process, or a file."""


def election_timeout(root: Path) -> ElectionTimeout | None:
    """The longest of those that run here, or else that of the next start; ``None``: not known."""
    running = [_of_process(process) for process in _processes(root)]
    if not running:
        return _of_file(root)
    known = [timeout for timeout in running if timeout is not None]
    return max(known, key=lambda k: k.milliseconds) if len(known) == len(running) else None


def _processes(root: Path) -> Iterator[Path]:
    for process in (root / "proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip() == "etcd":
                yield process
        except OSError:
            continue  # It has ended meanwhile.


def _of_process(process: Path) -> ElectionTimeout | None:
    try:
        arguments = (process / "cmdline").read_text(errors="replace").split("\0")
        environment = (process / "environ").read_text(errors="replace").split("\0")
    except OSError:
        return None  # It is another user's, and we are not root.
    return _told(arguments, _variables(environment), f"process {process.name} of etcd")


def _of_file(root: Path) -> ElectionTimeout | None:
    try:
        variables = _variables(shlex.split((root / DEFAULTS_FILE).read_text(errors="replace"), comments=True))
        arguments = shlex.split(variables.get("DAEMON_ARGS", ""))
    except (OSError, ValueError):
        return None  # There is none, or no shell reads it.
    return _told(arguments, variables, f"/{DEFAULTS_FILE}")


def _variables(words: Sequence[str]) -> dict[str, str]:
    return {name: value for name, equals, value in (word.partition("=") for word in words) if equals}


def _told(arguments: Sequence[str], environment: Mapping[str, str], told_by: str) -> ElectionTimeout | None:
    """A flag goes before a variable; with a configuration file, which we do not read, neither counts."""
    if _setting(_CONFIG_FILE, arguments, environment):
        return None
    text = _setting(_TIMEOUT, arguments, environment) or str(DEFAULT_MS)
    return ElectionTimeout(int(text), told_by) if text.isascii() and text.isdigit() else None


def _setting(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    for index, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag in (f"-{name}", f"--{name}"):
            return value or "".join(arguments[index + 1 : index + 2])
    return environment.get(f"ETCD_{name.upper().replace('-', '_')}", "")
