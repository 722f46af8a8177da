"""What a replicator may do: no more than it needs, and that on the files of all users."""

import contextlib
import os
import signal
import socket
import stat
import struct
import subprocess
from pathlib import Path

from manager.capabilities import Capability
from manager.model.replicator_spec import SpecAddress
from tests.support.process_status import mask, rights_of
from tests.support.replicators import Node, Options, Pair, nodes, pair
from tests.support.trees import assert_equal_trees, snapshot

NOBODY, OTHER_GROUP = 65534, 4321
CAN_OPEN_PORTS = struct.pack("<IIIII", 0x02000001, 1 << Capability.NET_BIND_SERVICE, 0, 0, 0)
"""struct vfs_cap_data (linux/capability.h)."""
AT_TIMES = {Capability.NET_ADMIN, Capability.NET_BIND_SERVICE}
AT_ALL_TIMES = frozenset(Capability) - AT_TIMES - {Capability.DAC_READ_SEARCH}


def has_only(node: Node, expected: frozenset[Capability]) -> None:
    ours = rights_of("self")
    rights = rights_of(node.pid)
    assert rights.permitted == rights.effective == ours.permitted & mask(expected)
    assert rights.bounding == ours.bounding & mask(expected)
    assert rights.inheritable == rights.ambient == 0
    assert rights.no_new_privileges


def test_a_pair_at_work_has_what_it_needs_and_no_more(tmp_path: Path) -> None:
    with pair(tmp_path) as two:
        (two.a.data / "file").write_bytes(b"x")
        for node in (two.a, two.b):
            assert len(os.listdir(f"/proc/{node.pid}/task")) > 1
            has_only(node, AT_ALL_TIMES)


def test_addresses_are_for_who_has_some(tmp_path: Path) -> None:
    with nodes(tmp_path, ("a",), Options(addresses=(SpecAddress("10.98.0.100", 24, ""),))) as (node,):
        has_only(node, AT_ALL_TIMES | {Capability.NET_ADMIN})


def test_a_port_below_1024_may_be_the_streams(tmp_path: Path) -> None:
    for port in range(1023, 511, -1):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            break
    with nodes(tmp_path, ("a",), Options(listen_port=port)) as (node,):
        has_only(node, AT_ALL_TIMES | {Capability.NET_BIND_SERVICE})
        assert node.connect().listen_port == port


def as_nobody(directory: Path, commands: str) -> None:
    """In ``directory``, which root enters: those above it are closed to others."""
    subprocess.run(
        ("sh", "-c", f"set -e; {commands}"), check=True, timeout=10, user=NOBODY, group=NOBODY, extra_groups=(),
        cwd=directory,
    )  # fmt: skip


def change_all_that_only_root_may(directory: Path) -> None:
    own = directory / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    own.chmod(0o700)
    as_nobody(own, "umask 077; echo secret >file; mkdir deep; echo more >deep/file")
    as_nobody(own, "chmod 000 file deep/file; touch -d 2001-02-03 file; mv deep/file moved; chmod 000 deep")
    program = directory / "program"
    program.write_bytes(b"#!/bin/sh\n")
    os.chown(program, NOBODY, OTHER_GROUP)
    program.chmod(0o6755)
    os.setxattr(program, "security.capability", CAN_OPEN_PORTS)
    os.setxattr(program, "security.other", b"of a module that is not loaded")
    os.setxattr(program, "trusted.colour", b"green")
    os.mknod(directory / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(directory / "disk", stat.S_IFBLK | 0o600, os.makedev(250, 250))
    os.mkfifo(directory / "pipe")
    os.chown(directory / "pipe", NOBODY, OTHER_GROUP)


def copies(two: Pair) -> tuple[dict[str, object], dict[str, object]]:
    return snapshot(str(two.a.data)), snapshot(str(two.b.data))


def test_what_only_root_may_change_is_changed_on_both(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    with pair(tmp_path) as two:
        for directory in (two.a.data, plain):
            change_all_that_only_root_may(directory)
        assert_equal_trees(snapshot(str(plain)), snapshot(str(two.a.data)))
        assert_equal_trees(*copies(two))


def test_what_only_root_may_change_comes_to_who_returns(tmp_path: Path) -> None:
    with pair(tmp_path) as two:
        two.b.kill()
        two.settle(())
        two.b.clear()
        change_all_that_only_root_may(two.a.data)
        two.b.start()
        two.join()
        assert_equal_trees(*copies(two))


def test_an_application_of_another_user_is_killed_at_the_deadline(tmp_path: Path, cgroup: Path) -> None:
    with nodes(tmp_path, ("a",), Options(cgroup=str(cgroup))) as (node,):
        node.serve(1)
        with subprocess.Popen(("sleep", "60"), user=NOBODY, cwd="/") as application:
            (cgroup / "cgroup.procs").write_text(str(application.pid))
            has_only(node, AT_ALL_TIMES)
            node.lease(0.2)
            assert application.wait(20) == -signal.SIGKILL
        node.wait_for_role("idle")
        assert not os.path.ismount(node.data)
