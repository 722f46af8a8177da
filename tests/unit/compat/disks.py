"""What a release leaves in files, written by its own writers into a directory, for later releases' own readers.

Links that lead nowhere stand as texts, ``NAME.link``. What is tied to the very directory that it was written in (the
base, the list of what the other copy lacks) is written with a mark that stands for any.
"""

import os
from ipaddress import ip_address
from pathlib import Path

from agent.adapters.link_settings import WANTED, LinkSettings
from agent.adapters.marks import Marks
from agent.adapters.netlink import Assigned
from agent.adapters.replicator_process import PidRecord, RunFiles
from agent.core.promise_note import PromiseNote
from agent.runtime.identity import IdentityFile
from agent.runtime.lease_keeper import LeaseFile, LeaseNote
from agent.runtime.memory import Memory
from agent.runtime.promise_file import PromiseFile
from agent.runtime.running_config import RunningConfig
from manager.model.asides import Aside, AsideItem, Kept
from manager.model.boots import after_loss
from manager.model.codec import encode
from manager.model.node_identity import NodeIdentity
from manager.model.records import ClusterIdentity, ModuleConfigRecord
from manager.model.replicator_spec import ReplicatorSpec
from manager.pki.register import Issued, Register, Use
from replicator.core.dirty import Dirty
from replicator.core.dirty_codec import records
from replicator.core.filesystem import PRIVATE_DIRECTORY
from replicator.disk import base
from replicator.disk.aside_shelf import LIST, _note_cleared, open_shelf, write_about
from replicator.disk.dirty_format import group, new_file
from replicator.disk.divergence import Divergence, mark_diverged
from replicator.disk.identity import NotedIdentity, write_identity

MARK = 7
BASES = ("0123456789abcdef", "fedcba9876543210")
BOOT = "3e9b1c1e-7a64-4f0e-9a51-1d0a5a0f6c11"
IDENTITY = NotedIdentity("c1", "m1", 5, 1234, "9a", 4, "a")
DIVERGENCE = Divergence(4, 2)
ASIDE = Aside(1, "2026-11-26T03:00:00Z", 4, "b", 5, 3, 4096)
KINDS = [kept for kept in Kept if kept is not Kept.UNKNOWN]
ITEMS = tuple(AsideItem("/srv/db/file", ("content",), kept, 4096, 512, "mode 644") for kept in KINDS)
CLEARED = 6
CLUSTER = ClusterIdentity("c1", "2026-11-26T03:00:00Z")
LEASE = LeaseNote(0x123456, "i1")
PROMISE = PromiseNote(BOOT, 8_000_000_000, 48_000_000_000, 4_711_000_000_000)
CONFIG = ModuleConfigRecord("m1", 3, '[module]\nname = "db"\n', {"start_prim": "#!/bin/sh\n"}, "then", "root")
PID = PidRecord(4711, 99, "/sys/fs/cgroup/mirrorfarm/db")
SPEC = ReplicatorSpec(
    "c1", "db", "m1", "a", BOOT, ("/srv/db",), "/run/s", "", 0, 5000, False, True, (), "", "/var/log/r"
)
NODE = NodeIdentity("0123456789abcdef" * 2, "main", "a")
REGISTER = Register(
    NODE.cluster_id, "main", tuple(Issued("1f", "a", ("10.0.0.1",), "then", "later", "", use) for use in Use), 2
)
ADDRESS = Assigned(2, ip_address("10.0.0.9"), 24, protocol=0, permanent=False, valid_s=60)


def dirty() -> Dirty:
    """A list with one of each."""
    made = Dirty()
    made.add_new(1 << 41)
    made.add_name((0, 1))
    made.add_attributes((1, 77))
    made.add_zones((0, 78), 3, 5)
    made.add_tail((0, 79), 9)
    made.set_place((0, 78), (1, b"file"))
    return made


def write_all(directory: Path) -> None:
    """Everything, below ``directory``, which is there and empty."""
    _write_disk(directory / "disk")
    _write_run(directory)
    PromiseFile(str(directory / "promise.json")).write(PROMISE)
    (directory / "register.json").write_text(f"{encode(REGISTER)}\n")
    (directory / "certificate.uri").write_text(f"{NODE.uri}\n")


def _write_disk(root: Path) -> None:
    private = root / PRIVATE_DIRECTORY
    private.mkdir(parents=True)
    root_fd, private_fd = os.open(root, os.O_RDONLY), os.open(private, os.O_RDONLY)
    try:
        write_identity(root_fd, IDENTITY)
        mark_diverged(private_fd, DIVERGENCE)
        _note_cleared(private_fd, CLEARED)
        os.close(open_shelf(private_fd))
        aside = private / "aside" / "1"
        aside.mkdir()
        aside_fd = os.open(aside, os.O_RDONLY)
        write_about(aside_fd, ASIDE)
        os.close(aside_fd)
        (aside / LIST).write_text("".join(f"{encode(item)}\n" for item in ITEMS))
    finally:
        os.close(root_fd)
        os.close(private_fd)
    (private / "identity.json.new").unlink(missing_ok=True)  # The one before, or the same once more.
    for link in [path for path in private.iterdir() if path.is_symlink()]:
        link.with_name(f"{link.name}.link").write_text(os.readlink(link))
        link.unlink()
    noted = " ".join(BASES)
    (private / "base").write_text(f"{noted} {base._checksum(noted, MARK)}\n")
    found = records(dirty())
    whole, place = new_file(BASES[0], b"12345678", found[:3], MARK)
    (private / "dirty").write_bytes(whole + group(place, found[3:])[0])


def _write_run(directory: Path) -> None:
    run = directory / "run"
    (run / "db").mkdir(parents=True)
    IdentityFile(str(run / "cluster.json")).write(CLUSTER)
    LeaseFile(str(run / "lease.json")).write(LEASE)
    Marks(str(run / "addresses.json")).note([ADDRESS])
    settings = directory / "settings"
    (settings / "eth0").mkdir(parents=True)
    for name in WANTED:
        (settings / "eth0" / name).write_text("0")
    LinkSettings(str(run / "links.json"), str(settings)).silence(["eth0"], [ADDRESS.address])
    for name in WANTED:
        (settings / "eth0" / name).unlink()
    (settings / "eth0").rmdir()
    settings.rmdir()
    files = RunFiles(str(run / "db"))
    files.write(files.spec, SPEC)
    files.write(files.pid, PID)
    RunningConfig(str(run / "db")).write(CONFIG)
    Memory(str(run / "db"), BOOT).keep(after_loss(BOOT))
