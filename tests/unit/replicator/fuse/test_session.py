import pytest

from manager.model.errors import PeerProtocolError
from replicator.fuse import abi
from replicator.fuse.abi import InitFlag
from replicator.fuse.requests import Init
from replicator.fuse.session import REQUIRED, WANTED, agree

_EVERYTHING = (1 << 64) - 1
_WRITEBACK_CACHE = 1 << 16
_LOCKS = 1 << 1 | 1 << 10


def agreed(minor: int, flags: int) -> tuple[int, int, int]:
    fields = abi.INIT_OUT.unpack(agree(Init(7, minor, 131072, flags)))
    return fields[1], fields[3] | fields[10] << 32, fields[6]


def test_what_the_kernel_offers_is_taken_as_far_as_it_is_wanted() -> None:
    minor, flags, max_write = agreed(45, _EVERYTHING)
    assert (minor, flags, max_write) == (38, WANTED, 1 << 20)


def test_the_writeback_cache_and_locks_stay_the_kernels() -> None:
    assert not agreed(45, _EVERYTHING)[1] & (_WRITEBACK_CACHE | _LOCKS)


def test_what_the_kernel_lacks_is_not_asked_for() -> None:
    assert agreed(36, int(REQUIRED))[:2] == (36, int(REQUIRED))


@pytest.mark.parametrize("missing", list(REQUIRED))
def test_a_kernel_without_what_is_needed_is_refused(missing: InitFlag) -> None:
    with pytest.raises(PeerProtocolError, match=missing.name):
        agree(Init(7, 45, 0, _EVERYTHING & ~missing))


@pytest.mark.parametrize(("major", "minor"), [(7, 35), (6, 99), (8, 0)])
def test_another_version_is_refused(major: int, minor: int) -> None:
    with pytest.raises(PeerProtocolError, match="or later is needed"):
        agree(Init(major, minor, 0, _EVERYTHING))
