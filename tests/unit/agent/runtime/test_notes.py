"""What a former agent has noted and cannot be read is as nothing: it keeps no agent from beginning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.replicator_process import RunFiles
from agent.runtime.booting import Booting
from agent.runtime.identity import IdentityFile
from agent.runtime.lease_keeper import LeaseFile
from agent.runtime.running_config import RunningConfig
from tests.unit.agent.runtime.bench import Bench
from tests.unit.agent.runtime.test_farm_modules import around

NO_TEXT = b"\xff\xfe\x00"


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("replicator.json", lambda directory: RunFiles(directory).read_spec()),
        ("replicator.pid", lambda directory: RunFiles(directory).live_pid()),
        ("config.json", lambda directory: RunningConfig(directory).read()),
        ("lease.json", lambda directory: LeaseFile(f"{directory}/lease.json").read()),
        ("cluster.json", lambda directory: IdentityFile(f"{directory}/cluster.json").read() or None),
    ],
)
@pytest.mark.parametrize("content", [NO_TEXT, b"", b"{}"])
def test_what_is_no_note_is_none(tmp_path: Path, name: str, read: Callable[[str], Any], content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(str(tmp_path)) is None


def test_a_note_of_the_machines_start_that_is_none_is_written_anew(tmp_path: Path) -> None:
    here = around(Bench("a"), tmp_path)
    path = Path(here.places.boot_file)
    path.parent.mkdir(parents=True)
    path.write_bytes(NO_TEXT)
    Booting(here).begin(("db",))
    assert '"unsettled": ["db"]' in path.read_text()
