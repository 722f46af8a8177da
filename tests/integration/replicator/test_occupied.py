"""Somebody works in a directory that is to be mounted over, as an application that init has started."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from replicator.main import EXIT_UNFIT
from tests.support.replicators import Node, Options, nodes, pair

WRITES, IS_THERE = "exec 3>>{0}/file; echo ready; read wait", "cd {0}; echo ready; read wait"
IN_A_CONTAINER = "exec unshare --mount sh -c 'mount --bind {0} /mnt && exec 3>>/mnt/file && echo ready && read wait'"
IN_A_PART_OF_IT = (
    "mkdir {0}/in; exec unshare --mount sh -c 'mount --bind {0}/in /mnt && cd /mnt && echo ready && read wait'"
)
ENDS_S = 60
"""A bound for a busy machine."""
STAYS, NOBODY = "echo ready; read wait", 65534
READS = "exec 3<{0}/file; echo ready; read wait"


@contextlib.contextmanager
def working(how: str, directory: Path, user: int = 0) -> Iterator[int]:
    """A process that does so; its id."""
    command = ("sh", "-c", how.format(directory))
    pipe = subprocess.PIPE
    # Who starts it enters the directory: another user could not reach it.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, user=user, cwd=directory if user else "/") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.kill()


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Node]:
    with nodes(tmp_path, ("a",)) as (node,):
        (node.data / "file").touch()
        yield node


@pytest.mark.parametrize("how", [WRITES, IS_THERE, IN_A_CONTAINER, IN_A_PART_OF_IT])
def test_a_replicator_does_not_start_over_it(one: Node, how: str) -> None:
    one.kill()
    with working(how, one.data) as pid:
        one.launch()
        assert one.process is not None
        assert one.process.wait(ENDS_S) == EXIT_UNFIT
        assert f"{one.data} is in use by what the module has not started: sh ({pid})" in one.said()
    one.start()


def test_it_may_be_another_user(one: Node) -> None:
    """Whose descriptors and directory only few may look at: the replicator has not all of root's rights."""
    one.kill()
    with working(STAYS, one.data, user=NOBODY) as pid:
        one.launch()
        assert one.process is not None
        assert one.process.wait(ENDS_S) == EXIT_UNFIT
        assert f"sh ({pid})" in one.said()


@pytest.mark.parametrize(
    ("command", "answer"),
    [(control.Serve(1, 100), control.Serving), (control.Follow(1, 100, "b", "", False), None)],
)
def test_no_role_is_begun_over_what_came_since(
    one: Node, command: control.Command, answer: type[control.Event] | None
) -> None:
    one.lease()
    with working(WRITES, one.data) as pid:
        one.tell(command)
        refused = one.wait(control.Refused)
        assert refused.command == type(command).__name__ and f"({pid})" in refused.reason
        assert one.connect().identity is None, "nothing is noted of a role that was not begun"
    one.tell(command)
    if answer is not None:
        one.wait(answer)
    assert not [event for event in one.collect(0.3) if isinstance(event, control.Refused)]


def test_who_only_reads_is_no_matter(one: Node) -> None:
    with working(READS, one.data):
        one.serve(1)
        assert one.status().role == "primary"


def test_who_works_on_a_mount_that_has_died_is_no_matter(tmp_path: Path) -> None:
    """Its application may not be dead yet; and what it writes comes to nobody."""
    with pair(tmp_path, Options()) as two:
        (two.a.data / "file").touch()
        with working(WRITES, two.a.data):
            two.a.kill()
            assert two.a.start().role == "idle"
