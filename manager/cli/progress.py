"""How far a long piece of work is, in words: what was done, how fast it goes, and how long it may still take.

A primary alone knows how far the node is that it brings in sync; every other node says where that can be seen. What is
not known says "unknown".
"""

from manager.model.api import ModuleView
from manager.model.pace import Pace
from manager.model.reasons import Reason
from manager.model.reports import Progress, Scope, Stage

_SENDS, _KEEPS = "join", "set_aside"
"""The work that sends what is lacking, and the one that has the other node keep what it alone has."""
_WHAT = {
    Scope.UNKNOWN: "",
    Scope.EVERYTHING: ": a full compare",
    Scope.CHANGES: ": of what changed",
}


def progress_lines(module: ModuleView, here: str) -> list[str]:
    """What goes on of ``module``, as seen from the node ``here``: none, or a headline and what belongs to it."""
    own = module.on(here)
    if own is not None and own.progress is not None:
        head, progress = _headline(module.name, own.progress), own.progress
        if progress.stage is Stage.SYNCING:
            return [head, f"  all is there ({_done_words(progress)}); it is brought to the disks"]
        return [head, f"  {examined_words(progress)}", f"  {pace_words(progress, own.pace)}"]
    behind = next((n for n in module.nodes if n.reason in _OF_OTHERS), None)
    if behind is None or (own is not None and any(refused.node for refused in own.refused or ())):
        return []  # Nothing goes on while its stream is refused, and that is said.
    head = f"{module.name}: {_OF_OTHERS[Reason(behind.reason)].format(node=behind.node)}"
    if not module.primary or module.primary == here:
        return [f"{head}: how far it is, is unknown"]
    return [f"{head}: mirrorfarm state on {module.primary} shows how far it is"]


_BROUGHT, _KEPT = "{node} is brought in sync", "what only {node} has is set aside"
_OF_OTHERS = {Reason.CATCHING_UP: _BROUGHT, Reason.SETTING_ASIDE: _KEPT}
"""What is told of a node that is behind, by its cause."""


def _headline(name: str, progress: Progress) -> str:
    what = _WHAT[progress.scope]
    if progress.work == _SENDS:
        return f"{name}: {_BROUGHT.format(node=progress.peer)}{what}"
    if progress.work == _KEEPS:
        return f"{name}: {_KEPT.format(node=progress.peer)}"
    return f"{name}: {progress.work} with {progress.peer}{what}"


def progress_words(progress: Progress, pace: Pace | None) -> str:
    """All of it in one line."""
    if progress.stage is Stage.SYNCING:
        return f"{progress.work}: {_done_words(progress)}; it is brought to the disks"
    return f"{progress.work}: {examined_words(progress)}; {pace_words(progress, pace)}"


def examined_words(progress: Progress) -> str:
    """What was done, and of how much."""
    share = ""
    examined = f"{bytes_words(progress.bytes_done)} examined"
    if progress.bytes_about > 0:
        about = "" if progress.bytes_total else "about "
        share = f"{about}{min(100, 100 * progress.bytes_done // progress.bytes_about)} %: "
        examined = f"{bytes_words(progress.bytes_done)} of {about}{bytes_words(progress.bytes_about)} examined"
    elif progress.bytes_found > 0:
        examined += f" of {bytes_words(progress.bytes_found)} found so far"
    sent = f", {bytes_words(progress.bytes_sent)} sent" if progress.work == _SENDS else ""
    return f"{share}{examined}{sent}; {_count_words(progress)}"


def _done_words(progress: Progress) -> str:
    examined, sent = bytes_words(progress.bytes_done), bytes_words(progress.bytes_sent)
    return f"{examined} examined, {sent} sent; {_count_words(progress)}"


def _count_words(progress: Progress) -> str:
    expected = progress.entries_expected
    of = f" of about {expected:,}" if expected > progress.entries_done and not progress.bytes_total else ""
    files = f", {progress.files_done:,} files" if progress.files_done else ""
    return f"{progress.entries_done:,}{of} entries{files}"


def pace_words(progress: Progress, pace: Pace | None) -> str:
    """How fast it goes, and how long it may still take."""
    if pace is None:
        return "rate and time left unknown"
    rates = [f"{bytes_words(pace.bytes_s)}/s examined"]
    if progress.work == _SENDS:
        rates.append(f"{bytes_words(pace.sent_bytes_s)}/s sent")
    if pace.entries_s:
        rates.append(f"{pace.entries_s:,} entries/s")
    left = "time left unknown" if pace.left_ms is None else f"about {left_words(pace.left_ms)} left"
    return f"now {', '.join(rates)}; {left}"


def bytes_words(count: int) -> str:
    """A number of bytes as people read it, in powers of 1024."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def duration_words(milliseconds: int) -> str:
    """A duration as people read it."""
    seconds = milliseconds / 1000
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def left_words(milliseconds: int) -> str:
    """As :func:`duration_words`, of something that is estimated."""
    return f"{-(-milliseconds // 1000)} s" if milliseconds < 100_000 else duration_words(milliseconds)
