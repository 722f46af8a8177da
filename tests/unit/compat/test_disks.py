"""What an older release left on disks is read by the readers of now, from the very files."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.disk_identities import common_identity
from agent.adapters.link_settings import LinkSettings
from agent.adapters.marks import Marks
from agent.adapters.replicator_process import RunFiles
from agent.runtime.identity import IdentityFile
from agent.runtime.lease_keeper import LeaseFile
from agent.runtime.memory import Memory
from agent.runtime.promise_file import PromiseFile
from agent.runtime.running_config import RunningConfig
from manager.model.boots import after_loss
from manager.model.codec import decode, to_plain
from manager.model.node_identity import parse_uri
from manager.pki.register import Register
from replicator.core.dirty import Dirty
from replicator.core.dirty_codec import absorb
from replicator.core.filesystem import PRIVATE_DIRECTORY
from replicator.disk import base
from replicator.disk.aside_shelf import last_number, read_asides, read_items
from replicator.disk.dirty_format import parse
from replicator.disk.divergence import read_divergence
from replicator.disk.identity import read_identity
from tests.unit.compat import disks
from tests.unit.compat.frozen import RELEASES, files


@pytest.fixture(params=RELEASES)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """All of it, where it may be changed, and with its links."""
    here = tmp_path / "left"
    shutil.copytree(files(request.param), here)
    for text in list(here.rglob("*.link")):
        text.with_suffix("").symlink_to(text.read_text())
        text.unlink()
    return here


@pytest.fixture
def private(left: Path) -> Iterator[int]:
    descriptor = os.open(left / "disk" / PRIVATE_DIRECTORY, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_what_the_disk_vouches_for(left: Path) -> None:
    root = os.open(left / "disk", os.O_RDONLY)
    try:
        assert read_identity(root) == disks.IDENTITY
    finally:
        os.close(root)
    said = common_identity([str(left / "disk")])
    assert to_plain(said) == {k: v for k, v in to_plain(disks.IDENTITY).items() if k != "node"}


def test_what_is_to_be_set_aside_and_what_was(private: int) -> None:
    assert read_divergence(private) == disks.DIVERGENCE
    assert read_asides(private) == [disks.ASIDE]
    assert tuple(read_items(private, disks.ASIDE.number)) == disks.ITEMS
    assert last_number(private) == disks.CLEARED


def test_what_the_other_copy_lacks(left: Path) -> None:
    content = parse((left / "disk" / PRIVATE_DIRECTORY / "dirty").read_bytes(), disks.MARK)
    assert content.base == disks.BASES[0]
    found = Dirty()
    for record in content.records:
        absorb(found, record)
    assert found == disks.dirty()


def test_which_joins_it_came_through(left: Path) -> None:
    line = base._LINE.fullmatch((left / "disk" / PRIVATE_DIRECTORY / "base").read_text())
    assert line is not None
    assert (line["base"], line["previous"]) == disks.BASES
    assert line["checksum"] == base._checksum(line["bases"], disks.MARK)


def test_what_a_former_agent_left_while_the_machine_runs(left: Path) -> None:
    run = left / "run"
    assert IdentityFile(str(run / "cluster.json")).read() == disks.CLUSTER.cluster_id
    assert LeaseFile(str(run / "lease.json")).read() == disks.LEASE
    assert Marks(str(run / "addresses.json")).ours(disks.ADDRESS)
    assert LinkSettings(str(run / "links.json"), str(run)).addresses() == {disks.ADDRESS.address}


def test_what_a_former_agent_left_of_a_module(left: Path) -> None:
    run = str(left / "run" / "db")
    assert RunFiles(run).read_spec() == disks.SPEC
    assert RunFiles(run).read_pid() == disks.PID
    assert RunningConfig(run).read() == disks.CONFIG
    assert Memory(run, disks.BOOT).boot_id() == after_loss(disks.BOOT)


def test_what_a_former_agent_has_promised(left: Path) -> None:
    assert PromiseFile(str(left / "promise.json")).read() == disks.PROMISE


def test_what_an_authority_has_issued(left: Path) -> None:
    assert decode(Register, (left / "register.json").read_bytes()) == disks.REGISTER
    assert parse_uri((left / "certificate.uri").read_text().strip()) == disks.NODE
