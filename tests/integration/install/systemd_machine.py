"""systemd as process 1 on a machine of a lab: in a PID namespace, below a cgroup of its own, with the machine's disks.

It starts what the machine's own links say for ``multi-user.target``. What Debian's packages have put there beside ours
is masked: it has no device, no terminal and no other disk to look after, and the lab starts etcd by itself.
"""

import contextlib
import dataclasses
import subprocess
from collections.abc import Iterator

from manager.lab.commands import trying
from manager.lab.errors import LabError
from manager.lab.host import PATH
from tests.integration.install.roots import Bare

_CGROUP = "/sys/fs/cgroup/booted"
_MASKED = """\
cd /etc/systemd/system
for unit in $(ls multi-user.target.wants sysinit.target.wants timers.target.wants getty.target.wants 2>/dev/null |
    grep -e '[.]' | grep -v -e mirrorfarm -e '[.]wants') dbus.service dbus.socket systemd-logind.service \\
    systemd-udevd.service systemd-networkd.service console-getty.service; do
    ln -sfn /dev/null "$unit"
done
"""
_START = f"""\
mkdir -p {_CGROUP}
echo 0 >{_CGROUP}/cgroup.procs
exec unshare --cgroup --mount --propagation private --pid --fork --kill-child sh -euc '
    mount -t proc proc /proc
    umount /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    exec env -i container=lab PATH={PATH} /lib/systemd/systemd --system'
"""
_UP_S = 30.0
_DOWN_S = 60.0
_LOOK_S = 0.1


@contextlib.contextmanager
def booted(machine: Bare) -> Iterator[Bare]:
    """The machine as it is for whoever is logged in below systemd, from its start until it has gone down in order."""
    machine.shell(_MASKED)
    process = subprocess.Popen(
        machine.node.command(["sh", "-euc", _START]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        inside = trying(_UP_S, _LOOK_S)(_enter, machine)
        trying(_UP_S, _LOOK_S)(_look_whether_up, inside)
        yield inside
        inside.run("systemctl", "--no-block", "poweroff")
        process.wait(_DOWN_S)
    finally:
        process.kill()
        process.wait()


def _enter(machine: Bare) -> Bare:
    pid = machine.run("pidof", "systemd").split()[0]
    entering = ("nsenter", "--target", pid, "--mount", "--cgroup", "--pid", "--")
    return dataclasses.replace(machine, entering=entering)


def _look_whether_up(inside: Bare) -> None:
    """As systemctl(1): "running", or "degraded" where a unit has failed.

    Raises:
        LabError: it is still starting.
    """
    said = inside.shell("systemctl is-system-running || true").strip()
    if said not in ("running", "degraded"):
        raise LabError(f"systemd is {said}")
