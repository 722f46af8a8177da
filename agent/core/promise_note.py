"""For how long an agent of this node may have promised not to stand (S5), noted for the next one. Pure.

An agent that begins does not know what its former one has promised, but for how long at the most: as long as that one's
configuration had it. So the note tells how long the promises of now are, and until when longer ones of before may last.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromiseNote:
    """What stands on this node's disk while an agent promises."""

    boot_id: str
    """Of the machine's start whose clock ``former_until_ns`` is of."""
    promise_ns: int
    former_ns: int = 0
    """How long the longest promises of former agents were that may last yet."""
    former_until_ns: int = 0
    """CLOCK_BOOTTIME until which they may."""


def succeed(former: PromiseNote | None, boot_id: str, promise_ns: int, now_ns: int) -> PromiseNote:
    """What an agent notes that begins now and promises for ``promise_ns`` at a time; ``former`` is what it found.

    After another start of the machine the clock has begun anew: what was promised before then was promised before now.
    """
    if former is None:
        return PromiseNote(boot_id, promise_ns)
    lasting = [(former.promise_ns, now_ns + former.promise_ns)]
    if former.boot_id != boot_id:
        lasting.append((former.former_ns, now_ns + former.former_ns))
    elif former.former_until_ns > now_ns:
        # Those were made before now: a clock that went back, or a start of the machine that is not told, ends them too.
        lasting.append((former.former_ns, min(former.former_until_ns, now_ns + former.former_ns)))
    longer = [one for one in lasting if one[0] > promise_ns]
    if not longer:
        return PromiseNote(boot_id, promise_ns)
    return PromiseNote(boot_id, promise_ns, max(ns for ns, _ in longer), max(until_ns for _, until_ns in longer))
