"""A loss of memory is noted for the next agent, once, and the page caches are not trusted from then on."""

from dataclasses import replace
from pathlib import Path

from manager.model.boots import FILE
from manager.model.replicator_spec import ReplicatorSpec
from replicator.disk.volume import Volume
from replicator.memory_loss import MemoryLoss


def spec(run: Path, boot_id: str = "boot") -> ReplicatorSpec:
    return ReplicatorSpec(
        "cluster", "db", "module", "a", boot_id, (), str(run / "control.sock"), "", 0, 1000, False, False, (), "", ""
    )  # fmt: skip


def test_it_is_noted_beside_the_control_socket_as_one_more_loss(tmp_path: Path) -> None:
    MemoryLoss(spec(tmp_path), []).note()
    assert (tmp_path / FILE).read_text() == "boot+1\n"
    MemoryLoss(replace(spec(tmp_path), boot_id="boot+1"), []).note()
    assert (tmp_path / FILE).read_text() == "boot+2\n"


def test_what_the_agent_has_noted_since_is_not_overwritten(tmp_path: Path) -> None:
    memory = MemoryLoss(spec(tmp_path), [])
    memory.note()
    (tmp_path / FILE).write_text("boot+2\n")
    memory.note()
    assert (tmp_path / FILE).read_text() == "boot+2\n"


def test_the_caches_are_trusted_until_memory_was_lost_in_this_boot(tmp_path: Path) -> None:
    volume = Volume.open(str(tmp_path), 0)
    memory = MemoryLoss(spec(tmp_path), [volume])
    assert not volume.memory_lost
    memory.distrust()
    assert volume.memory_lost
    volume.memory_lost = False
    MemoryLoss(spec(tmp_path, "boot+1"), [volume])
    assert volume.memory_lost
    volume.close()
