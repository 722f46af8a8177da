"""The frames of an older release are read, and those of now are what it reads: to the byte, in the version of both."""

import pytest

from manager.model.versions import STREAM
from replicator.wire.frames import BODY_BOUNDS, FrameKind
from replicator.wire.reader import FrameReader
from tests.unit.compat.freeze import minor_release
from tests.unit.compat.frozen import RELEASES, frames
from tests.unit.compat.stream import BODIES, EPOCH, SEQUENCE, frame, kind_of

KEPT = [(release, name, whole) for release in RELEASES for name, whole in frames(release)]
JSON = {FrameKind.HELLO, FrameKind.WELCOME, FrameKind.REFUSED}


def test_every_kind_of_frame_is_kept() -> None:
    assert STREAM.newest == 1, "each version that is spoken has its own bodies, and the releases that speak it"
    assert {kind_of(name) for name in BODIES} | JSON == set(BODY_BOUNDS)
    assert [name for name, _ in frames(minor_release())] == list(BODIES)


@pytest.mark.parametrize(("release", "name", "whole"), KEPT, ids=[f"{r} {n}" for r, n, _ in KEPT])
def test_a_frame_of_an_older_release_is_read(release: str, name: str, whole: bytes) -> None:
    reader = FrameReader(EPOCH)
    reader.space()[: len(whole)] = whole
    reader.received(len(whole))
    found = reader.next()
    assert found is not None
    kind, sequence, body = found
    assert (kind, sequence) == (kind_of(name), SEQUENCE)
    assert BODIES[name].read(body) == BODIES[name].says
    assert frame(name) == whole
