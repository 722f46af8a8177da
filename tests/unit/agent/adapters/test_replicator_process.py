"""A replicator's process: that its end is noticed, however it comes, and that none is left that nobody would find."""

import asyncio
import gc
import os
import signal
import subprocess
from pathlib import Path

import pytest

from agent.adapters.cgroups import Cgroup
from agent.adapters.replicator_process import ReplicatorProcess, RunFiles
from manager.model.errors import DefiniteFailure
from manager.model.replicator_spec import ReplicatorSpec

END_S = 10.0


def begun(directory: Path) -> tuple[ReplicatorProcess, "subprocess.Popen[bytes]"]:
    child = subprocess.Popen(("sleep", "60"))
    return ReplicatorProcess(child.pid, os.pidfd_open(child.pid), Cgroup(str(directory)), child), child


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGKILL, "killed by SIGKILL"),
        (signal.SIGRTMIN + 1, "killed by SIGRTMIN+1"),
        (signal.SIGRTMIN - 1, "killed by signal 33"),
    ],
)
def test_its_end_is_noticed_whatever_signal_it_was(tmp_path: Path, number: int, how: str) -> None:
    """One that Python has no name for left it alive for its agent, which killed by a closed descriptor from then on."""

    async def story() -> None:
        process, child = begun(tmp_path)
        ends: list[str] = []
        process.on_end(ends.append)
        os.kill(child.pid, number)
        assert await process.ended(END_S) and not process.alive
        await asyncio.sleep(0)
        assert ends == [how]

    asyncio.run(story())


def test_one_whose_pid_cannot_be_noted_does_not_live_on_and_keeps_no_descriptor(tmp_path: Path) -> None:
    """As where there is no more room: it was at work for nobody, and each further start left another descriptor."""
    files, group = RunFiles(str(tmp_path / "run")), tmp_path / "cgroup"
    os.makedirs(files.pid)  # Nothing can take the place of a directory.
    group.mkdir()
    (group / "cgroup.kill").touch()
    spec = ReplicatorSpec(
        cluster_id="c", module="db", module_id="m", node="a", boot_id="boot", directories=("/srv/db",),
        control_socket="/run/s", listen_host="", listen_port=0, peer_timeout_ms=5000, acknowledge_disk=False,
        compression=True, must_exist=(), cgroup="", log_file=str(tmp_path / "log" / "r.log"),
    )  # fmt: skip

    async def story() -> None:
        gc.collect()  # What other tests have left does not go in between.
        before, open_before = children(), set(os.listdir("/proc/self/fd"))
        with pytest.raises(DefiniteFailure, match=r"replicator\.pid"):
            ReplicatorProcess.launch(spec, files, Cgroup(str(group)), ("/bin/sh", "-c", "sleep 60"))
        async with asyncio.timeout(END_S):
            while children() != before:
                await asyncio.sleep(0.01)
        assert set(os.listdir("/proc/self/fd")) <= open_before

    asyncio.run(story())
