"""Configuration on disk: reads ``agent.toml`` and a module's folder, writes a module's folder.

What the texts mean is the business of :mod:`manager.model.config`. Here it is decided what is taken from a disk at
all: regular files, UTF-8, of bounded size, no symbolic links inside a module's folder (its text goes to every node
and to etcd, and a link would take along what it happens to lead to).
"""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from manager.model.config import LARGEST_BYTES, SCRIPT_NAMES, AgentConfig, parse_agent_config
from manager.model.config.findings import Findings, listing

AGENT_CONFIG = "/etc/mirrorfarm/agent.toml"
"""Where the configuration of a node's agent is, unless a command is told otherwise."""

MODULE_FILE = "module.toml"
SCRIPTS_FOLDER = "scripts"

_LARGEST_AGENT_CONFIG_BYTES = 64 * 1024
_SCRIPT_MODE = 0o755
_IGNORED_SUFFIXES = ("~", ".orig", ".swp", ".bak", ".rej", ".dpkg-old", ".dpkg-dist", ".dpkg-new")
"""What editors, patch and dpkg leave behind."""


def load_agent_config(path: str | os.PathLike[str] = AGENT_CONFIG) -> AgentConfig:
    """The configuration in the file ``path``, which may be a symbolic link.

    Raises:
        InvalidConfig: it cannot be read, or something is wrong with it.
    """
    findings = Findings(os.fspath(path))
    text = _read_text(Path(path), _LARGEST_AGENT_CONFIG_BYTES, findings, "", follow=True)
    findings.raise_if_any()
    return parse_agent_config(text, os.fspath(path))


def load_module_folder(path: str | os.PathLike[str]) -> tuple[str, dict[str, str]]:
    """The text of ``module.toml`` in the folder ``path``, and of each of its scripts by name.

    Raises:
        InvalidConfig: a file cannot be read, is no text, is too large, or does not belong there.
    """
    folder = Path(path)
    findings = Findings(str(folder))
    scripts: dict[str, str] = {}
    toml = _read_text(folder / MODULE_FILE, LARGEST_BYTES, findings, MODULE_FILE, follow=False)
    for name in _script_names(folder / SCRIPTS_FOLDER, findings):
        file = folder / SCRIPTS_FOLDER / name
        scripts[name] = _read_text(file, LARGEST_BYTES, findings, f"{SCRIPTS_FOLDER}/{name}", follow=False)
    findings.raise_if_any()
    return toml, scripts


def write_module_folder(path: str | os.PathLike[str], toml: str, scripts: Mapping[str, str]) -> None:
    """Make the folder ``path``, as :func:`load_module_folder` reads it.

    Raises:
        FileExistsError: ``path`` is there already; it is left as it is.
        InvalidConfig: a script has a name that does not belong there; nothing was written.
        OSError: it cannot be written.
    """
    folder = Path(path)
    findings = Findings(str(folder))
    # The texts may come from etcd: a name must not lead out of the folder.
    for name in scripts:
        _is_script_name(name, findings)
    findings.raise_if_any()
    folder.mkdir()
    (folder / MODULE_FILE).write_text(toml, encoding="utf-8", newline="")
    if scripts:
        (folder / SCRIPTS_FOLDER).mkdir()
    for name, text in scripts.items():
        file = folder / SCRIPTS_FOLDER / name
        file.write_text(text, encoding="utf-8", newline="")
        file.chmod(_SCRIPT_MODE)


def _script_names(folder: Path, findings: Findings) -> list[str]:
    """The names of the scripts in ``folder``, which need not be there; what does not belong there is a finding."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            findings.note(SCRIPTS_FOLDER, "no folder", "a folder, or nothing")
            return []
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        findings.note(SCRIPTS_FOLDER, f"a folder that cannot be read: {error.strerror}", "a readable folder")
        return []
    return [
        n for n in names if not n.startswith(".") and not n.endswith(_IGNORED_SUFFIXES) and _is_script_name(n, findings)
    ]


def _is_script_name(name: str, findings: Findings) -> bool:
    if name in SCRIPT_NAMES:
        return True
    findings.note(f"{SCRIPTS_FOLDER}/{name}", "a script that this release does not run", listing(SCRIPT_NAMES))
    return False


def _read_text(path: Path, largest_bytes: int, findings: Findings, key: str, *, follow: bool) -> str:
    """The text of a file; empty, with a finding, when it cannot be had."""
    try:
        data = _read(path, largest_bytes, follow)
    except OSError as error:
        findings.note(key, _why_unreadable(error), "a regular file that can be read")
        return ""
    if len(data) > largest_bytes:
        findings.note(key, "a larger file", f"at most {largest_bytes // 1024} KiB")
        return ""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        findings.note(key, f"bytes that are not UTF-8, in line {line}", "text in UTF-8")
        return ""


def _read(path: Path, largest_bytes: int, follow: bool) -> bytes:
    # Non-blocking: a FIFO of that name must not hang the agent.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read(largest_bytes + 1)


def _why_unreadable(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return "no such file"
        case errno.ELOOP:
            return "a symbolic link"
        case _:
            return f"a file that cannot be read: {error.strerror}"
