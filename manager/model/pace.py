"""How fast a long piece of work goes, and how long it may still take: from what its reports say, one after the other.

The rate is that of the last seconds, since that is what the rest will take; the mean since the beginning would hide
that something slows it down now. Nothing is guessed: with one report, without a known end, or when nothing moved, the
time left is unknown. It has no clock: each report says how long the work has gone on.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from manager.model.reports import Progress

SPAN_MS: Final = 10_000
"""The last seconds."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What was done in each of the last seconds."""

    entries_s: int
    bytes_s: int
    """Examined."""
    sent_bytes_s: int
    left_ms: int | None
    """``None``: not known."""


class PaceMeter:
    """Of one piece of work after the other."""

    def __init__(self) -> None:
        self._reports: deque[Progress] = deque()

    def heard(self, progress: Progress) -> Pace | None:
        """The pace at this report; ``None``: it is not known yet."""
        reports = self._reports
        if reports and not _goes_on(reports[-1], progress):
            reports.clear()
        if not reports and progress.elapsed_ms <= SPAN_MS:
            reports.append(_beginning(progress))
        reports.append(progress)
        while len(reports) > 2 and progress.elapsed_ms - reports[1].elapsed_ms >= SPAN_MS:
            reports.popleft()
        first = reports[0]
        passed_ms = progress.elapsed_ms - first.elapsed_ms
        if passed_ms <= 0:
            return None
        return Pace(
            entries_s=(progress.entries_done - first.entries_done) * 1000 // passed_ms,
            bytes_s=(progress.bytes_done - first.bytes_done) * 1000 // passed_ms,
            sent_bytes_s=(progress.bytes_sent - first.bytes_sent) * 1000 // passed_ms,
            left_ms=_left_ms(progress, first, passed_ms),
        )


def _goes_on(before: Progress, now: Progress) -> bool:
    """Whether ``now`` is of the same piece of work."""
    same = (now.work, now.peer) == (before.work, before.peer)
    return same and now.elapsed_ms >= before.elapsed_ms and now.bytes_done >= before.bytes_done


def _beginning(progress: Progress) -> Progress:
    return Progress(progress.work, progress.peer, 0, 0, 0, 0, 0)


def _left_ms(progress: Progress, first: Progress, passed_ms: int) -> int | None:
    """Of many small files names and attributes take the time, of large ones the content: what lasts longer counts."""
    about = progress.bytes_about
    if not about or (progress.bytes_done > about and not progress.bytes_total):
        return None
    by_bytes = _rest_ms(about - progress.bytes_done, progress.bytes_done - first.bytes_done, passed_ms)
    entries = 0 if progress.bytes_total else progress.entries_expected - progress.entries_done
    by_entries = _rest_ms(entries, progress.entries_done - first.entries_done, passed_ms)
    return None if by_bytes is None or by_entries is None else max(by_bytes, by_entries)


def _rest_ms(left: int, done: int, passed_ms: int) -> int | None:
    """What is left, at the pace of what was done meanwhile; ``None``: nothing was."""
    if left <= 0:
        return 0
    return left * passed_ms // done if done else None
