"""Gives up what root may do and this process need not (capabilities(7)): for good, and for all that it begins.

It does not know who needs what, nor why. By ctypes, since Python has none of these calls.
"""

import ctypes
import enum
import errno
import os
from collections.abc import Collection
from functools import partial
from typing import Final


class Capability(enum.IntEnum):
    """Those that something here needs, by linux/capability.h."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    FOWNER = 3
    FSETID = 4
    LINUX_IMMUTABLE = 9
    NET_BIND_SERVICE = 10
    NET_ADMIN = 12
    IPC_LOCK = 14
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    SYS_RESOURCE = 24
    MKNOD = 27
    SETFCAP = 31
    MAC_OVERRIDE = 32
    MAC_ADMIN = 33


_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
"""linux/prctl.h."""
_VERSION_3: Final = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3: two words of 32 bits for each set."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)


def keep_only(kept: Collection[Capability]) -> list[str]:
    """From here on this process has at the most ``kept`` of what it had, and no program that it runs gets more.

    Before other threads are made: each has its own. What the kernel refused is returned, in words; all else is done.
    """
    refused = []
    for what, action in (
        ("no new privileges", _gain_nothing),
        ("bounding set", partial(_bound, kept)),
        ("ambient set", partial(_prctl, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)),
        ("capabilities", partial(_limit, kept)),
    ):
        try:
            action()
        except OSError as error:
            refused.append(f"{what}: {error.strerror}")
    return refused


def _gain_nothing() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _bound(kept: Collection[Capability]) -> None:
    """What a program gets that root runs. The kernel may know capabilities that are not in its headers here."""
    number = 0
    while (there := _has(number)) is not None:
        if there and number not in kept:
            _prctl(_PR_CAPBSET_DROP, number)
        number += 1


def _has(number: int) -> bool | None:
    """Whether it is in the bounding set; ``None``: the kernel knows none of this number, nor of a higher one."""
    try:
        return bool(_prctl(_PR_CAPBSET_READ, number))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None


def _limit(kept: Collection[Capability]) -> None:
    header, words = _Header(_VERSION_3, 0), (_Word * 2)()
    _check(_libc.capget(ctypes.byref(header), words))
    mask = sum(1 << capability for capability in kept)
    for index, word in enumerate(words):
        word.permitted &= mask >> 32 * index & 0xFFFFFFFF
        word.effective = word.permitted
        word.inheritable = 0
    _check(_libc.capset(ctypes.byref(header), words))


def _prctl(option: int, argument: int) -> int:
    return _check(_libc.prctl(option, argument, 0, 0, 0))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
