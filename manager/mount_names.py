"""Paths as mountinfo and fstab(5) have them: blanks and the like as a backslash and three octal digits."""

import re
from typing import Final

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def plain(escaped: str) -> str:
    """The path itself."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), escaped)
