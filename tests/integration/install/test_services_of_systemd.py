"""Services that are a module's application, where systemd is process 1: in one slice, started by nobody else.

The machine has a service as Debian makes PostgreSQL's: one that starts nothing itself, and instances of a template,
which a generator finds in the application's own configuration each time that systemd reads its units.
"""

import time
from collections.abc import Iterator

import pytest

from manager.lab.host import look
from manager.lab.lab import Lab
from tests.integration.install.roots import Bare
from tests.integration.install.systemd_machine import booted
from tests.support.lab import bare_lab

__all__ = ["bare_lab"]

_SLICE = "mirrorfarm-db.slice"
_EMPTY_S = 10.0
_UNITS = r"""
cd /etc/systemd/system
printf '%s\n' '[Service]' Type=oneshot RemainAfterExit=yes ExecStart=/bin/true >group.service
printf '%s\n' '[Unit]' PartOf=group.service Before=group.service \
    '[Service]' 'ExecStart=/bin/sleep 1000' Restart=always RestartSec=100ms >group@.service
mkdir -p group@one.service.d
# As "systemctl edit" writes it.
printf '%s\n' '[Service]' Restart=always >group@one.service.d/override.conf
mkdir -p /etc/systemd/system-generators
cat >/etc/systemd/system-generators/group <<'END'
#!/bin/sh
mkdir -p "$1/group.service.wants"
for name in $(cat /srv/instances); do
    ln -s /etc/systemd/system/group@.service "$1/group.service.wants/group@$name.service"
done
END
chmod 755 /etc/systemd/system-generators/group
echo one >/srv/instances
"""
_PROGRAM = """\
import asyncio, json, sys
from agent.adapters.services import SystemdServices
services = SystemdServices("db")
asyncio.run(getattr(services, sys.argv[1])(["group"]))
"""


@pytest.fixture(scope="module")
def machine(bare_lab: Lab) -> Iterator[Bare]:
    bare = Bare(bare_lab.node("a"), "")
    bare.shell(_UNITS)
    with booted(bare) as up:
        yield up


def services(machine: Bare, call: str) -> None:
    machine.run("env", f"PYTHONPATH={look().project}", f"{look().prefix}/bin/python", "-c", _PROGRAM, call)


def in_slice(machine: Bare) -> list[str]:
    """Which instances have processes in the module's slice."""
    found = machine.shell(f"ls -d /sys/fs/cgroup/mirrorfarm.slice/{_SLICE}/*.service 2>/dev/null || true")
    return sorted(path.rpartition("@")[2].removesuffix(".service") for path in found.split())


def until_empty(machine: Bare) -> None:
    """The instances end after their group, which alone is waited for: they are to be there before it."""
    end = time.monotonic() + _EMPTY_S
    while in_slice(machine):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_all_of_a_service_is_in_the_modules_slice_and_what_is_killed_there_stays_dead(machine: Bare) -> None:
    services(machine, "prepare")
    machine.run("systemctl", "start", "group")
    assert in_slice(machine) == ["one"]
    machine.shell(f"echo 1 >/sys/fs/cgroup/mirrorfarm.slice/{_SLICE}/cgroup.kill")
    until_empty(machine)
    time.sleep(1.0)
    assert in_slice(machine) == []
    # Its own service still counts as started: what it is made of is started all the same.
    machine.run("systemctl", "start", "group")
    assert in_slice(machine) == ["one"]
    machine.run("systemctl", "stop", "group")
    until_empty(machine)


def test_what_the_data_says_that_came_meanwhile_is_started(machine: Bare) -> None:
    """A node that takes over has been prepared when the other one's data was not there yet."""
    services(machine, "prepare")
    machine.shell("echo two three >/srv/instances")
    services(machine, "look_again")
    machine.run("systemctl", "start", "group")
    assert in_slice(machine) == ["three", "two"]
    machine.run("systemctl", "stop", "group")
    until_empty(machine)
