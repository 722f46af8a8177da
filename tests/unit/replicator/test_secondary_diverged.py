"""A secondary whose copy went on by itself: nothing of it is changed before what differs is kept."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from manager.model import asides, control
from manager.model.asides import path_text
from manager.model.control import EVENTS, from_line, to_line
from replicator.asides import LONGEST_PAUSE_S
from replicator.core.operations import Bind
from replicator.disk.aside_shelf import clear_aside, open_shelf
from replicator.disk.divergence import MARKER, is_diverged, read_divergence
from replicator.disk.identity import NotedIdentity, write_identity
from replicator.disk.keeping import end_divergence
from replicator.disk.limbo import is_joining
from replicator.disk.volume import Volume
from replicator.wire.frames import FrameKind
from replicator.wire.messages import Refusal
from replicator.wire.verifying import Keep, encode_keep
from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.primaries import EPOCH, Primary, Stage
from tests.unit.replicator.test_secondary import BASE, create

BASES = (BASE.decode(),)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with stepped_loop() as loop:
        stage = Stage(loop, tmp_path)
        for volume in stage.volumes:
            write_identity(volume.root_fd, NotedIdentity("cluster", "module", 3, 30))
        (stage.roots[1] / "own").write_bytes(b"own")
        yield stage
        stage.close()


def diverged(stage: Stage) -> Primary:
    """A stream to it."""
    stage.asides.prepare(diverged=True)
    stage.follow(bases=BASES)
    primary = stage.connect()
    stage.until(lambda: primary.frames)
    return primary


def set_aside(stage: Stage, primary: Primary) -> None:
    """All of the one file is kept."""
    sequence = primary.send(FrameKind.KEEP, encode_keep(Keep(1, (b"own",))))
    stage.until(lambda: primary.of(FrameKind.VERIFY_ANSWER))
    assert primary.of(FrameKind.VERIFY_ANSWER)[0][0] == sequence
    primary.send(FrameKind.SET_ASIDE)
    stage.until(lambda: len(primary.of(FrameKind.VERIFY_ANSWER)) == 2)


class UnmarkedLast:
    """A volume whose mark goes when those of the others are gone; something is done before."""

    def __init__(self, volume: Volume, do: Callable[[], None]) -> None:
        self._volume = volume
        self._do = do
        self._asked = 0

    @property
    def private_fd(self) -> int:
        self._asked += 1
        if self._asked == 2:  # it is marked as joining before
            self._do()
        return self._volume.private_fd


def test_who_is_told_to_follow_finds_all_marks_or_none(stage: Stage) -> None:
    """Else those that are gone came back, and with them what was kept would be taken for one that is not whole."""
    stage.asides.prepare(diverged=True)
    following = threading.Thread(target=lambda: stage.asides.prepare(diverged=False))

    def follow() -> None:
        following.start()
        following.join(0.1)

    first, last = stage.volumes
    end_divergence([first, cast(Volume, UnmarkedLast(last, follow))])
    following.join()
    assert [is_diverged(volume.private_fd) for volume in stage.volumes] == [False, False]
    assert not stage.asides.diverged


def report(stage: Stage, command: asides.Command) -> asides.AsideReport:
    stage.asides.carry_out(command)
    stage.until(lambda: any(isinstance(event, asides.AsideReport) for event in stage.events))
    (found,) = (event for event in stage.events if isinstance(event, asides.AsideReport))
    stage.events.remove(found)
    return found


def test_it_says_so_and_is_of_no_join(stage: Stage) -> None:
    welcome = diverged(stage).welcome
    assert (welcome.diverged, welcome.bases) == (True, ())
    assert stage.events == [control.Following("a", EPOCH), asides.SettingAside("a", EPOCH)]


def test_others_say_nothing_of_it(stage: Stage) -> None:
    stage.asides.prepare(diverged=False)
    stage.follow(bases=BASES)
    primary = stage.connect()
    stage.until(lambda: primary.frames)
    assert (primary.welcome.diverged, primary.welcome.bases) == (False, BASES)


def test_every_disk_is_marked_with_the_epoch_that_it_had(stage: Stage) -> None:
    stage.asides.prepare(diverged=True)
    for volume in stage.volumes:
        found = read_divergence(volume.private_fd)
        assert found is not None
        assert (found.node_epoch, found.number) == (3, 1)
    os.unlink(MARKER, dir_fd=stage.volumes[0].private_fd)  # as where power was lost between the two
    stage.asides.prepare(diverged=False)
    assert all(is_diverged(volume.private_fd) for volume in stage.volumes)


@pytest.mark.parametrize("kind", [FrameKind.LISTING, FrameKind.COMPARE, FrameKind.FINISH, FrameKind.BARRIER])
def test_a_primary_that_copies_at_once_is_no_primary(stage: Stage, kind: FrameKind) -> None:
    primary = diverged(stage)
    primary.send(kind, BASE if kind is FrameKind.FINISH else b"")
    stage.until_gone(primary)
    assert "before what differs was set aside" in stage.lost()[0]
    assert (stage.copiers[0].begun, stage.copiers[0].frames) == (0, [])
    assert is_diverged(stage.volumes[0].private_fd)


def test_nor_is_one_that_changes_something(stage: Stage) -> None:
    primary = diverged(stage)
    primary.ship(Bind(0, 7, 1, b"own"), create(b"new"))
    stage.until_gone(primary)
    assert stage.names() == set()
    assert stage.copiers[0].begun == 0


def test_what_is_kept_is_answered_and_then_the_stream_goes_on(stage: Stage) -> None:
    primary = diverged(stage)
    primary.send(FrameKind.PING)
    set_aside(stage, primary)
    assert stage.events[-1] == asides.SetAside("a", 1, 1, stage.events[-1].bytes)  # type: ignore[union-attr]
    assert not any(is_diverged(volume.private_fd) for volume in stage.volumes)
    assert all(is_joining(volume.private_fd) for volume in stage.volumes)
    assert stage.copiers[0].begun == 0
    sequence = primary.ship(create(b"new"))
    stage.until(lambda: primary.acknowledged and primary.acknowledged[-1] == sequence)
    assert (stage.names(), stage.copiers[0].begun) == ({"new"}, 1)
    assert (stage.roots[1] / ".mirrorfarm/aside/1/tree/own").read_bytes() == b"own"
    again = stage.connect()
    stage.until(lambda: again.frames)
    assert not again.welcome.diverged


def test_frames_of_it_are_none_of_an_ordinary_stream(stage: Stage) -> None:
    primary = stage.stream()
    primary.send(FrameKind.SET_ASIDE)
    stage.until_gone(primary)
    assert not any(isinstance(event, control.Failed) for event in stage.events)


def test_where_there_is_no_room_it_is_tried_again_later(stage: Stage) -> None:
    (stage.roots[1] / "large").write_bytes(b"x" * 200_000)
    primary = diverged(stage)
    primary.send(FrameKind.KEEP, encode_keep(Keep(1, (b"large",))))
    stage.until_gone(primary)
    assert "cannot be set aside" in primary.failed
    (refused,) = (event for event in stage.events if isinstance(event, asides.NotSetAside))
    assert (refused.primary, refused.full, refused.needed_bytes > 200_000) == ("a", True, True)
    assert isinstance(stage.events[-1], control.StreamLost)
    for _ in range(2):
        again = stage.connect()
        stage.until_gone(again)
        assert again.refused.reason is Refusal.NOT_FOLLOWING
    assert len(stage.refusals) == 1
    stage.loop.advance(LONGEST_PAUSE_S)
    later = stage.connect()
    stage.until(lambda: later.frames)
    assert later.welcome.diverged


def test_what_is_given_up_is_not_kept(stage: Stage) -> None:
    primary = diverged(stage)
    primary.send(FrameKind.KEEP, encode_keep(Keep(1, (b"own",))))
    stage.until(lambda: primary.of(FrameKind.VERIFY_ANSWER))
    given_up = report(stage, asides.AsideGiveUp("1"))
    assert (given_up.request_id, given_up.error, given_up.diverged, given_up.asides) == ("1", "", False, ())
    assert "given up" in stage.lost()[0]
    assert stage.events[-1] == asides.SetAside("", 0, 0, 0)
    assert not any(is_diverged(volume.private_fd) for volume in stage.volumes)
    assert all(is_joining(volume.private_fd) for volume in stage.volumes)
    assert os.listdir(stage.roots[1] / ".mirrorfarm/aside") == []
    again = stage.connect()
    stage.until(lambda: again.frames)
    assert not again.welcome.diverged
    # The agent need not ask to know that nothing is waited for any more.
    assert [event for event in stage.events if isinstance(event, asides.SetAside)] == [asides.SetAside("", 0, 0, 0)]


def test_no_stream_is_taken_while_it_is_being_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted = threading.Event()

    def end_late(volumes: Sequence[Volume]) -> None:
        assert deleted.wait(10)
        end_divergence(volumes)

    monkeypatch.setattr("replicator.asides.end_divergence", end_late)
    diverged(stage)
    stage.asides.carry_out(asides.AsideGiveUp("1"))
    again = stage.connect()
    stage.until(lambda: again.frames)
    assert again.refused.reason is Refusal.NOT_FOLLOWING
    deleted.set()
    stage.until(lambda: any(isinstance(event, asides.AsideReport) for event in stage.events))
    assert not any(isinstance(event, asides.NotSetAside) for event in stage.events)


def test_a_damaged_mark_can_be_given_up_only(stage: Stage) -> None:
    (stage.roots[0] / ".mirrorfarm" / MARKER).touch()
    with pytest.raises(OSError, match="damaged"):
        stage.asides.prepare(diverged=False)
    assert stage.asides.diverged
    assert report(stage, asides.AsideGiveUp("1")).error == ""
    stage.asides.prepare(diverged=False)
    assert not stage.asides.diverged


def test_there_is_nothing_to_give_up_of_others(stage: Stage) -> None:
    assert "nothing is to be set aside" in report(stage, asides.AsideGiveUp("1")).error
    assert not any(is_joining(volume.private_fd) for volume in stage.volumes)


# What an operator asks for


def test_what_is_not_whole_is_none_yet(stage: Stage) -> None:
    primary = diverged(stage)
    primary.send(FrameKind.KEEP, encode_keep(Keep(1, (b"own",))))
    stage.until(lambda: primary.of(FrameKind.VERIFY_ANSWER))
    os.close(open_shelf(stage.volumes[0].private_fd))
    (stage.roots[0] / ".mirrorfarm/aside/1").mkdir()
    listed = report(stage, asides.AsideList("1"))
    assert (listed.asides, listed.diverged, listed.limit_bytes) == ((), True, 200_000)
    assert "no aside 1" in report(stage, asides.AsideClear("2", 1)).error
    assert (stage.roots[0] / ".mirrorfarm/aside/1").exists()


@pytest.mark.parametrize(
    ("path", "target", "why"),
    [
        ("/elsewhere/own", "/tmp/x", "in none of"),
        ("{root}/../own", "/tmp/x", "in none of"),
        ("{root}/own", "relative", "absolute"),
        ("{root}/own", "{base}/one/x", "replicated"),
        ("{root}/own", "{base}/link/x", "replicated"),
        ("{root}/own", "{base}/none/x", "no directory"),
        ("{root}/own", "/proc/x", "/proc/x could not be made: No such file or directory"),
        ("{root}/own", "{base}/link", "there already"),
        ("{root}/other", "{base}/x", "nothing of that path"),
        ("{root}/own\\x00", "{base}/x", "is no path"),
        ("{root}/own", "{base}/\0", "is no path"),
    ],
)
def test_what_cannot_be_restored(stage: Stage, path: str, target: str, why: str) -> None:
    set_aside(stage, diverged(stage))
    base = stage.roots[0].parent
    (base / "link").symlink_to("two")
    words = {"root": stage.roots[1], "base": base}
    command = asides.AsideRestore("1", 1, path.format(**words), target.format(**words))
    assert why in report(stage, command).error
    assert sorted(os.listdir(base)) == ["link", "one", "two"]


def test_what_cannot_be_shown(stage: Stage) -> None:
    set_aside(stage, diverged(stage))
    assert "there is no aside 7; there is 1" in report(stage, asides.AsideShow("1", 7)).error
    assert "in none of" in report(stage, asides.AsideShow("2", 1, "/elsewhere")).error


def test_what_can_be_restored(stage: Stage) -> None:
    set_aside(stage, diverged(stage))
    target = stage.roots[0].parent / "restored"
    restored = report(stage, asides.AsideRestore("1", 1, f"{stage.roots[1]}/own", str(target)))
    assert (restored.error, restored.items_total, target.read_bytes()) == ("", 1, b"own")
    whole = report(stage, asides.AsideRestore("2", 1, str(stage.roots[1]), f"{target}-2"))
    assert (whole.error, whole.items_total, os.listdir(f"{target}-2")) == ("", 2, ["own"])


def test_nothing_is_restored_of_what_is_being_cleared(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be a part of it, and be told as the whole."""
    set_aside(stage, diverged(stage))
    target = stage.roots[0].parent / "restored"
    tried = threading.Event()

    def clear(private: int, number: int) -> None:
        assert tried.wait(10)
        clear_aside(private, number)

    monkeypatch.setattr("replicator.asides.clear_aside", clear)
    stage.asides.carry_out(asides.AsideClear("1", 1))
    restored = report(stage, asides.AsideRestore("2", 1, str(stage.roots[1]), str(target)))
    tried.set()
    assert (restored.error, target.exists()) == ("aside 1 is being cleared", False)
    stage.until(lambda: any(isinstance(event, asides.AsideReport) for event in stage.events))


def test_a_page_of_what_is_kept_and_how_many_there_are(stage: Stage) -> None:
    set_aside(stage, diverged(stage))
    lines = stage.roots[1] / ".mirrorfarm/aside/1/list.jsonl"
    [line] = lines.read_text().splitlines()
    lines.write_text("".join(line.replace('"own"', f'"{name}"') + "\n" for name in ("own", "own/x", "owner", "y")))
    root = stage.roots[1]
    for path, skip, limit, names, total in (
        ("", 0, 9, ["own", "own/x", "owner", "y"], 4),
        ("", 1, 2, ["own/x", "owner"], 4),
        (f"{root}/own/", 0, 9, ["own", "own/x"], 2),
        (f"{root}/own", 1, 9, ["own/x"], 2),
        (f"{root}/y", 0, 0, [], 1),
    ):
        shown = report(stage, asides.AsideShow("1", 1, path, skip, limit))
        assert ([item.path for item in shown.items], shown.items_total) == ([f"{root}/{n}" for n in names], total)


def test_the_number_of_one_that_was_cleared_is_not_given_again(stage: Stage) -> None:
    set_aside(stage, diverged(stage))
    assert report(stage, asides.AsideClear("1", 1)).error == ""
    stage.asides.prepare(diverged=True)
    for volume in stage.volumes:
        found = read_divergence(volume.private_fd)
        assert found is not None and found.number == 2
    assert "there is no aside 1" in report(stage, asides.AsideShow("2", 1)).error


@pytest.mark.parametrize("damage", ["{", "[]", "\xff", '{"path": 3}'])
def test_a_damaged_list_is_told_and_ends_nothing(stage: Stage, damage: str) -> None:
    set_aside(stage, diverged(stage))
    (stage.roots[1] / ".mirrorfarm/aside/1/list.jsonl").write_text(damage, encoding="latin-1")
    assert "is damaged" in report(stage, asides.AsideShow("1", 1)).error
    assert report(stage, asides.AsideClear("2", 1)).error == ""


def test_a_target_of_any_bytes_is_written_as_a_path(stage: Stage) -> None:
    set_aside(stage, diverged(stage))
    target = os.fsencode(stage.roots[0].parent) + b"/a\\x41\xff"
    for error in ("", "x41\\xff is there already"):
        restored = report(stage, asides.AsideRestore("1", 1, f"{stage.roots[1]}/own", path_text(target)))
        assert restored.error.endswith(error) and bool(error) == bool(restored.error)
        assert from_line(EVENTS, to_line(restored)) == restored
    assert os.path.exists(target)
