"""Whether this machine's init starts the agent when the machine starts: on, off, or as it was; read, and switched.

On and off are init's own links, for SysV's and for systemd alike. "As it was" is on, and a note beside it, in which the
init script and the unit keep whether the agent was started or stopped last; a machine that goes down does not count.
It does not know the modules: which of them are started with the agent stands in etcd.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from manager.cli.checks.machine import starts_at_boot
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.states import Setting
from manager.note_file import write_note

SERVICE = "mirrorfarm-agent"
_ROOT = Path("/")
INIT_SCRIPT = f"/etc/init.d/{SERVICE}"
NOTE = "var/lib/mirrorfarm/boot"
"""Below the root; the init script and the unit know it too."""
_UPDATE_RC = "/usr/sbin/update-rc.d"
_SYSTEMCTL = "/bin/systemctl"
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Starting:
    """How it is."""

    boot: Setting
    stopped: bool = False
    """With PREV: it was stopped by somebody, and would not be started."""


def read(root: Path) -> Starting:
    """How it is; ``root`` is ``/``, or a test's own tree.

    Raises:
        DefiniteFailure: the note cannot be read.
    """
    if not starts_at_boot(root, SERVICE):
        return Starting(Setting.OFF)
    try:
        note = (root / NOTE).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return Starting(Setting.ON)
    except OSError as error:
        raise DefiniteFailure(f"reading {root / NOTE}: {error.strerror}") from None
    return Starting(Setting.PREV, stopped=note == "stopped")


def switch(boot: Setting, *, runs: bool) -> None:
    """Make it so on this machine.

    Args:
        boot: what it shall be.
        runs: whether the agent runs now, which is what it was last.

    Raises:
        DefiniteFailure: it could not be done, or is not so afterwards.
        IndefiniteFailure: what was asked to do it does not end.
    """
    note = _ROOT / NOTE
    try:
        if boot is Setting.PREV:
            _write(note, "started" if runs else "stopped")
        else:
            note.unlink(missing_ok=True)
    except OSError as error:
        raise DefiniteFailure(f"writing {note}: {error.strerror}") from None
    _link("disable" if boot is Setting.OFF else "enable")
    found = read(_ROOT).boot
    if found is not boot:
        raise DefiniteFailure(f"init was told {boot}, and its links below /etc still say {found}")


def agent_runs() -> bool:
    """Whether the agent runs now, as its init script says."""
    return subprocess.run([INIT_SCRIPT, "status"], capture_output=True, timeout=_SECONDS, check=False).returncode == 0


def _link(action: str) -> None:
    """The links: ``update-rc.d`` of Debian's looks after systemd's too."""
    if os.access(_UPDATE_RC, os.X_OK):
        # Until a script has links, it cannot be told "enable".
        _tell(_UPDATE_RC, SERVICE, "defaults-disabled")
        _tell(_UPDATE_RC, SERVICE, action)
    elif os.access(_SYSTEMCTL, os.X_OK):
        _tell(_SYSTEMCTL, "--quiet", action, SERVICE)
    else:
        raise DefiniteFailure(f"this machine has neither {_UPDATE_RC} nor {_SYSTEMCTL} to tell its init")


def _tell(*command: str) -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    named = " ".join(command)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise IndefiniteFailure(f"{named} did not end within {_SECONDS:g} s") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["it said nothing"]
        raise DefiniteFailure(f"{named} failed ({done.returncode}): {words[0]}")


def _write(note: Path, word: str) -> None:
    """As a whole, and on the disk: an empty note would be "started"."""
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_note(note, f"{word}\n", synced=True)
