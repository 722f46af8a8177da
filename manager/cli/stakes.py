"""What an operator is shown before a copy is forced that the record does not list (S12), in words. Pure."""

from datetime import datetime

from manager.cli.difference import count_words
from manager.cli.progress import bytes_words, duration_words
from manager.cli.sentences import sentence
from manager.model.api_requests import Stakes
from manager.model.records import HistoryRecord, LackingRecord


def stakes_lines(stakes: Stakes, now: datetime) -> list[str]:
    """How old the copy is, what is known to be missing, who served since, and what is known of the last primary.

    Args:
        stakes: as an agent has told them.
        now: the wall time, for ages.
    """
    node, last = stakes.node, stakes.last_primary
    lines = [
        f"{stakes.module}: the copy of {node} is to go on, though that of {last} is newer. Completed writes that only "
        f"{last} has are lost to the application.",
        *_of_copy(stakes, now),
        *(f"  served since: {_served(stakes.module, entry, now)}" for entry in stakes.served_since),
        *_of_last_primary(stakes),
    ]
    return [
        *lines,
        f"  When {last} is back, what its copy has of its own is set aside there (mirrorfarm aside {stakes.module}), "
        f"and its copy is made equal to that of {node}.",
    ]


def _of_copy(stakes: Stakes, now: datetime) -> list[str]:
    node, lacking = stakes.node, stakes.lacking
    seen = "its disk does not say that it has this module's data"
    if stakes.disk_epoch is not None:
        seen = f"its copy is of epoch {stakes.disk_epoch}, the last is {stakes.epoch}"
    if lacking is None:
        return [f"  {node}: {seen}; when it was last in sync, and what it lacks, was never told"]
    since = f"it was in sync until {_when(lacking.since, now)}" if lacking.since else "how old it is is not known"
    return [f"  {node}: {since}; {seen}", f"  missing on {node}: {_missing(lacking, now)}"]


def _missing(lacking: LackingRecord, now: datetime) -> str:
    if not lacking.as_of:
        return "how much is not known"
    least = "" if lacking.whole else "at least "
    much = f"{bytes_words(lacking.bytes)} in {count_words(lacking.files, 'file', 'files')}"
    if lacking.everything:
        told = f"not known; that may be all there is: {least}{much}"
    else:
        directories = count_words(lacking.directories, "directory", "directories")
        names = f", and the names in {directories}" if lacking.directories else ""
        told = f"{least}{much} at the most{names}"
    return f"{told} (told {_when(lacking.as_of, now)}; what came later is not in it)"


def _served(module: str, entry: HistoryRecord, now: datetime) -> str:
    says = sentence(entry.reason, module, entry.node).says
    return f"{entry.node} from {_when(entry.at, now)}, epoch {entry.epoch}. {says}"


def _of_last_primary(stakes: Stakes) -> list[str]:
    last = stakes.last_primary
    if stakes.registered is None:
        return [f"  {last}: etcd does not answer, so it is not known whether its agent is registered"]
    if stakes.registered:
        return [f"  {last}: its agent is registered: it is not off"]
    away = f", for {duration_words(stakes.away_ms)} at the least" if stakes.away_ms is not None else ""
    known = f"it was last known at {', '.join(stakes.addresses)}" if stakes.addresses else "where it was is not known"
    return [f"  {last}: its agent is not registered{away}; {known}"]


def _when(at: str, now: datetime) -> str:
    """A time of a record, and how long ago that is by this machine's clock."""
    try:
        ago_ms = round((now - datetime.fromisoformat(at)).total_seconds() * 1000)
    except (ValueError, TypeError):
        return at
    return f"{at} ({duration_words(ago_ms)} ago)" if ago_ms >= 0 else at
