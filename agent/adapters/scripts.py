"""A module's scripts on this node's disk, and the environment that they get."""

import contextlib
import os
import posixpath
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from manager.model.config import variable_of
from manager.model.errors import ConfigError, DefiniteFailure

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = ("LANG", "LC_ALL", "TZ")
_NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Context:
    """What a script is told of why it runs (FEATURES.md)."""

    state: str
    next_state: str
    action: str
    epoch: int


def environment(
    module: str,
    node: str,
    directories: Sequence[str],
    own: Mapping[str, str],
    context: Context,
    *,
    depends: Mapping[str, Sequence[str]] = _NOTHING,
    forced: bool = False,
    inherited: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """What a script gets: ours goes before the configuration's ``own``, and that before the system's.

    ``DIRECTORIES`` is the module's directories with ``:`` between them; ``FORCE`` is ``1`` in a forced stop only. There
    are the addresses of each module that it ``depends`` on, with a space between them.
    """
    system = {"PATH": PATH, "HOME": "/root", "SHELL": "/bin/sh", "USER": "root", "LOGNAME": "root"}
    system |= {name: inherited[name] for name in _PASSED_ON if name in inherited}
    ours = {
        "MODULE": module,
        "NODE": node,
        "STATE": context.state,
        "NEXT_STATE": context.next_state,
        "ACTION": context.action,
        "EPOCH": str(context.epoch),
        "DIRECTORIES": ":".join(directories),
    }
    ours |= {variable_of(other): " ".join(addresses) for other, addresses in depends.items()}
    return system | dict(own) | ours | ({"FORCE": "1"} if forced else {})


def executes(directory: str) -> bool:
    """Whether what is in ``directory`` can be executed: not where it is mounted with ``noexec``.

    Raises:
        OSError: it cannot be looked at.
    """
    return not os.statvfs(directory).f_flag & os.ST_NOEXEC


def check_names(scripts: Mapping[str, str]) -> None:
    """Refuse names that would leave the scripts' folder.

    Raises:
        ConfigError: there is one.
    """
    for name in scripts:
        if not name or "\0" in name or name.startswith("/") or posixpath.normpath(name) != name or name[:2] == "..":
            raise ConfigError(f"scripts: found {name!r}; allowed: a plain path below the folder, without '..'")


def write(directory: str, scripts: Mapping[str, str]) -> None:
    """Makes ``directory`` hold exactly ``scripts``, each executable by root alone (0700).

    The folder changes as a whole; a script that runs goes on with its former text.

    Raises:
        ConfigError: a name leaves the folder.
        DefiniteFailure: they cannot be written, or none could be executed there.
    """
    check_names(scripts)
    new, old = f"{directory}.new", f"{directory}.old"
    try:
        for left in (new, old):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(left)
        os.makedirs(new, mode=0o700)
        if scripts and not executes(new):
            raise DefiniteFailure(
                f"no script can be run from {directory}: what is mounted there is mounted with noexec; mount it with "
                "exec, or name another directory in agent.toml: paths.state"
            )
        for name, text in scripts.items():
            _write_one(os.path.join(new, name), text)
        with contextlib.suppress(FileNotFoundError):
            os.rename(directory, old)
        os.rename(new, directory)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise DefiniteFailure(f"writing the scripts to {directory}: {error}") from None


def remove(directory: str) -> None:
    """Removes the folder; it may be gone.

    Raises:
        DefiniteFailure: it cannot be removed.
    """
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DefiniteFailure(f"removing the scripts in {directory}: {error}") from None


def _write_one(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        os.fchmod(descriptor, 0o700)
        file.write(text)
