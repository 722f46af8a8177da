"""The logs of a node for a snapshot: the agent's, the replicators' and those of scripts, the newest of each, bounded.

Which a logrotate has put away come after the one that is written to, while there is room. It decides how much of which
is taken; what a log says it does not know.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from manager.cli.snapshot.collector import Collector
from manager.cli.snapshot.files import Found, directories_in, end_of, files_in
from manager.cli.snapshot.masking import masked_log

MOST_BYTES: Final = 24 << 20
"""Of a node's logs together."""
LOG_BYTES: Final = 6 << 20
"""Of the agent's, and of each replicator's, with those that were put away."""
RUN_BYTES: Final = 256 << 10
"""Of one run of a script."""
AGENT: Final = re.compile(r"agent\.log(?:[.-][0-9]+(?:\.gz)?)?")
REPLICATOR: Final = re.compile(r"replicator\.log(?:[.-][0-9]+(?:\.gz)?)?")
RUN: Final = re.compile(r".+\.[0-9]+\.log")


class Logs:
    """Takes them, one directory after the other."""

    def __init__(self, collector: Collector, since_ms: int, clock: Callable[[], float] = time.time) -> None:
        """``since_ms``: what is older is left out; 0: nothing is."""
        self._collector = collector
        self._since_s = clock() - since_ms / 1000 if since_ms else 0.0
        self._left = MOST_BYTES

    def take_all(self, directory: str) -> None:
        """Those below ``directory``."""
        self._kind(directory, AGENT, "logs", LOG_BYTES)
        modules = self._collector.had("logs", lambda: directories_in(directory)) or []
        for module in modules:
            self._kind(f"{directory}/{module}", REPLICATOR, f"logs/{module}", LOG_BYTES)
        for module in modules:
            for run in self._found(f"{directory}/{module}", RUN, f"logs/{module}"):
                self._take(run, f"logs/{module}", RUN_BYTES)

    def _kind(self, directory: str, names: re.Pattern[str], where: str, most_bytes: int) -> None:
        for log in self._found(directory, names, where):
            most_bytes -= self._take(log, where, most_bytes)
            if most_bytes <= 0:
                break

    def _found(self, directory: str, names: re.Pattern[str], where: str) -> Iterator[Found]:
        for file in self._collector.had(where, lambda: files_in(directory)) or []:
            if names.fullmatch(file.name) and file.size and file.changed_s >= self._since_s:
                yield file

    def _take(self, log: Found, where: str, most_bytes: int) -> int:
        """How much it was."""
        name = f"{where}/{log.name.removesuffix('.gz')}"
        most_bytes = min(most_bytes, self._left)
        if most_bytes <= 0:
            self._collector.note(name, f"the {MOST_BYTES >> 20} MiB for this node's logs were full")
            return 0
        had = self._collector.had(name, lambda: end_of(log.path, most_bytes))
        if had is None:
            return 0
        text, whole = had
        if not whole:
            self._collector.note(name, f"only its last {most_bytes >> 10} KiB")
        self._left -= len(text)
        self._collector.clean(name, lambda: masked_log(self._late(text)))
        return len(text)

    def _late(self, text: str) -> str:
        """From the first entry on that is not too old; a log without times is taken as it is."""
        if not self._since_s:
            return text
        place = 0
        for line in text.splitlines(keepends=True):
            at = _time_of(line)
            if at is not None and at >= self._since_s:
                return text[place:]
            place += len(line)
        return text if _time_of(text.partition("\n")[0]) is None else ""


def _time_of(line: str) -> float | None:
    """When an entry was written, in seconds since the epoch; ``None``: it does not say."""
    try:
        return datetime.fromisoformat(json.loads(line)["at"]).timestamp()
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
