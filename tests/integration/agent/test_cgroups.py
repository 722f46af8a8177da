"""Control groups of the real kernel: nobody gets out, and nothing is left."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from agent.adapters.cgroups import NOT_ENTERED, Cgroup, module_cgroup, parse_stat, read_process, unified_mount
from manager.model.errors import DefiniteFailure


def started(cgroup: Cgroup, script: str) -> "subprocess.Popen[bytes]":
    """``script`` in ``cgroup``; returns when it has said that it is ready."""
    argv = cgroup.entering(("/bin/sh", "-c", f"{script}"))
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_daemons_that_left_their_session_are_killed_with_it(cgroup_base: str) -> None:
    cgroup = module_cgroup("db", "app", cgroup_base)
    cgroup.make()
    first = started(cgroup, "setsid sleep 600 >/dev/null & setsid sleep 600 >/dev/null & echo ready; exec sleep 600")
    try:
        assert cgroup.populated()
        assert len(cgroup.processes()) == 3
        asyncio.run(cgroup.kill(10))
        assert not cgroup.populated() and cgroup.processes() == []
    finally:
        first.kill()
        assert first.wait(10) < 0
    cgroup.remove()
    assert os.listdir(cgroup_base) and not os.path.exists(os.path.join(cgroup_base, "mirrorfarm"))


def test_another_part_of_the_module_is_left_alone(cgroup_base: str) -> None:
    app, replicator = (module_cgroup("db", part, cgroup_base) for part in ("app", "replicator"))
    app.make()
    replicator.make()
    other = started(replicator, "echo ready; exec sleep 600")
    try:
        asyncio.run(app.kill(10))
        assert [p.pid for p in replicator.processes()] == [other.pid]
        with pytest.raises(DefiniteFailure):
            replicator.remove()
    finally:
        other.kill()
        other.wait(10)


def test_waiting_for_the_end_is_bounded(cgroup_base: str) -> None:
    cgroup = Cgroup(os.path.join(cgroup_base, "x"))
    cgroup.make()
    process = started(cgroup, "echo ready; exec sleep 600")
    try:
        assert not asyncio.run(cgroup.emptied(0.02))
        process.kill()
        process.wait(10)
        assert asyncio.run(cgroup.emptied(10))
    finally:
        process.kill()


def test_a_command_that_cannot_enter_says_so_and_does_not_run(cgroup_base: str) -> None:
    gone = Cgroup(os.path.join(cgroup_base, "never-made"))
    ran = subprocess.run(gone.entering(("/bin/echo", "ran")), capture_output=True, timeout=10, check=False)
    assert (ran.returncode, ran.stdout) == (NOT_ENTERED, b"")
    assert not gone.populated() and gone.processes() == []
    asyncio.run(gone.kill(1))


def test_a_process_is_named_by_its_pid_and_start() -> None:
    own = read_process(os.getpid())
    assert own is not None and own.started_ticks > 0 and own.state in "RS"
    assert parse_stat("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 99 20") == ("a) b", "S", 99)
    assert os.path.exists(os.path.join(unified_mount(), "cgroup.procs"))


def test_one_that_is_removed_in_the_middle_of_a_kill_has_nothing_left_to_be_killed(
    cgroup_base: str, tmp_path: Path
) -> None:
    """As systemd does with a slice whose last service has ended."""
    cgroup = module_cgroup("db", "app", cgroup_base)
    cgroup.make()
    held = os.open(os.path.join(cgroup.directory, "cgroup.kill"), os.O_WRONLY | os.O_CLOEXEC)
    try:
        cgroup.remove()
        (tmp_path / "cgroup.kill").symlink_to(f"/proc/self/fd/{held}")
        with pytest.raises(OSError, match="No such device"), open(tmp_path / "cgroup.kill", "w", encoding="ascii"):
            pass
        Cgroup(str(tmp_path)).send_kill()
    finally:
        os.close(held)
