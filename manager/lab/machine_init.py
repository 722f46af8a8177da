"""Process 1 of a machine of the lab: makes the machine's namespaces and mounts, then reaps what nobody waits for.

It is run as a plain script by path, with the standard library alone, so that a machine starts in milliseconds and
needs nothing of the project. It decides nothing: the host gives it a list of mounts and files (manager.lab.plan).

``machine_init.py PLAN READY_FD``: PLAN is a JSON file; READY_FD gets ``ready`` when the machine is made. What goes
wrong before is a traceback on stderr, and READY_FD is closed without a word.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from typing import Any

# linux/sched.h
_CLONE_NEWTIME = 0x00000080
_CLONE_NEWNS = 0x00020000
_CLONE_NEWCGROUP = 0x02000000
_CLONE_NEWUTS = 0x04000000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_OF_ITS_OWN = _CLONE_NEWNS | _CLONE_NEWCGROUP | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWPID | _CLONE_NEWNET

_OLD_ROOT = ".host"


def main() -> None:
    """Leave the host's namespaces and become process 1 of new ones; the process that was started ends at once."""
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    ready = int(sys.argv[2])
    with open(os.path.join(plan["cgroup"], "cgroup.procs"), "w", encoding="ascii") as file:
        file.write("0")
    _unshare(_OF_ITS_OWN)
    if "clock_offset_s" in plan:
        _set_clocks(plan["clock_offset_s"])
    if os.fork():
        os._exit(0)
    os.setsid()
    if plan["root"]:
        _make_root(plan)
    os.write(ready, b"ready")
    os.close(ready)
    _reap()


def _set_clocks(offset_s: int) -> None:
    """The clocks that count from a start are the machine's own (time_namespaces(7)); wall time is the host's."""
    _unshare(_CLONE_NEWTIME)
    with open("/proc/self/timens_offsets", "w", encoding="ascii") as file:
        file.write(f"monotonic {offset_s} 0\nboottime {offset_s} 0\n")


def _unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")


def _make_root(plan: dict[str, Any]) -> None:
    """Mount all that the plan says, make it the root, and let go of the host's."""
    _run("mount", "--make-rprivate", "/")
    _run("hostname", plan["hostname"])
    _mount(plan["system_disk"])
    first = not os.path.exists(plan["first_boot_made"][0]["path"])
    for made in plan["first_boot_made"]:
        _make(made)
    for arguments in plan["mounts"]:
        _mount(arguments)
    os.chdir(plan["root"])
    os.makedirs(_OLD_ROOT, exist_ok=True)
    _run("pivot_root", ".", _OLD_ROOT)
    os.chdir("/")
    _run("umount", "-l", f"/{_OLD_ROOT}")
    os.rmdir(f"/{_OLD_ROOT}")
    # As systemd does: what is mounted comes to the namespaces of services, too.
    _run("mount", "--make-rshared", "/")
    for made in plan["made"] + (plan["first_boot_files"] if first else []):
        _make(made)
    # What an installation left on the disks is there after the first loss of power, too.
    _run("sync", "-f", *plan["disks"])


def _mount(arguments: list[str]) -> None:
    target = arguments[-1]
    if not os.path.exists(target):
        os.makedirs(target)
    _run("mount", *arguments)


def _make(made: dict[str, Any]) -> None:
    """A directory, a symbolic link (``target``) or a file (``text``); what is there is replaced, save directories."""
    path = made["path"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if "target" in made or "text" in made:
        if os.path.lexists(path):
            os.unlink(path)
        if "target" in made:
            os.symlink(made["target"], path)
            return
        with open(path, "w", encoding="utf-8") as file:
            file.write(made["text"])
    else:
        os.makedirs(path, exist_ok=True)
    os.chmod(path, made["mode"])
    os.chown(path, made["uid"], made["gid"])


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _reap() -> None:
    """Wait for every child that is or becomes ours, for ever: the machine ends when it is killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        try:
            pid = os.waitpid(-1, os.WNOHANG)[0]
        except ChildProcessError:
            pid = 0
        if pid == 0:
            signal.sigwait({signal.SIGCHLD})


if __name__ == "__main__":
    main()
