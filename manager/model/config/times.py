"""Times of the day as people write them, ``"06:30"``: one rule for every schedule."""

import re
from typing import Final

from manager.model.config.rules import Rule

_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)

FROM: Final = Rule('a time of the day from "00:00" to "23:59"', lambda text: _TIME.fullmatch(text) is not None)
TO: Final = Rule(
    'a time of the day from "00:00" to "24:00"', lambda text: text == "24:00" or _TIME.fullmatch(text) is not None
)


def minute_of(text: str) -> int:
    """The minute of the day of a time that the rules allow."""
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
