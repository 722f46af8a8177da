"""When what happened in etcd, as one who asked it again and again could tell. Pure.

etcd keeps no times. An answer has every revision up to its own, and none that was made after it was given: so each
revision came between two answers (``tests.support.etcd_polling``), which are the closer the better etcd answered.
"""

import bisect
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
NEVER_NS = sys.maxsize
"""After the last answer nothing is known."""


@dataclass(slots=True)
class Moments:
    """Of the answers until now."""

    keys: dict[str, Json] = field(default_factory=dict)
    """What stood below the prefix when it was answered last."""
    _revisions: list[int] = field(default_factory=list)
    _asked_ns: list[int] = field(default_factory=list)
    _answered_ns: list[int] = field(default_factory=list)

    def take(self, lines: Iterable[str]) -> None:
        """More of what was printed."""
        for line in lines:
            asked_ns, answered_ns, revision, changed = json.loads(line)
            self._revisions.append(revision)
            self._asked_ns.append(asked_ns)
            self._answered_ns.append(answered_ns)
            for key, value in changed.items():
                if value is None:
                    self.keys.pop(key, None)
                else:
                    self.keys[key] = json.loads(value)

    def earliest_ns(self, revision: int) -> int:
        """It was not there before: asked then, an answer had not got it. 0: the first answer had it."""
        index = bisect.bisect_left(self._revisions, revision)
        return self._asked_ns[index - 1] if index else 0

    def latest_ns(self, revision: int) -> int:
        """It was there by then; NEVER_NS: no answer has had it."""
        index = bisect.bisect_left(self._revisions, revision)
        return self._answered_ns[index] if index < len(self._revisions) else NEVER_NS
