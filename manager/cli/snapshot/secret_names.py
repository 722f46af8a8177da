"""Whether a setting is a secret, by its name: ``DB_PASSWORD``, ``apiKey``, ``ipmi-passwd``. Pure.

It does not know values: a secret in a setting of a harmless name is not found by this. A harmless value in one of a
secret's name is taken for one: that is the side on which to be wrong.
"""

import functools
import re
from typing import Final

_WORDS: Final = frozenset(
    {
        "auth", "authorization", "community", "cookie", "cookies", "creds", "masterauth", "pass", "passin", "passout",
        "pin", "psk", "pw", "pwd", "token", "tokens", "webhook",
    }
)  # fmt: skip
"""By themselves, or beside others."""
_ANYWHERE: Final = (
    "accesskey", "apikey", "authtoken", "credential", "passcode", "passphrase", "passwd", "password", "privatekey",
    "requirepass", "secret",
)  # fmt: skip
"""Also run together with others, as in ``PGPASSWORD``."""
_ENDINGS: Final = ("pass", "pwd", "token")
"""Of a word that is run together, as ``dbpass``."""
_HARMLESS: Final = frozenset({"bypass", "compass"})
_KEYS: Final = ("key", "keys")
_HARMLESS_KEYS: Final = frozenset({"public", "primary", "foreign"})
"""Before ``key``; behind any other word that is one by which somebody is let in."""
_ABOUT: Final = frozenset(
    {"count", "dir", "directory", "encryption", "file", "files", "ms", "path", "size", "timeout", "ttl"}
)
"""At the end: it says something of a secret, as where it is, and is none."""

_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

HINT: Final = r"(?:pass|pw|secret|token|cred|auth|key|cookie|pin|psk|webhook|community)"
"""A regular expression that finds something in each secret's name, in capitals or not; and in some others."""


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether what stands behind ``name`` is to be masked."""
    words = [word.lower() for word in _PARTS.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    if len(words) > 1 and words[-1] in _KEYS and words[-2] not in _HARMLESS_KEYS:
        return True
    run_together = "".join(words)
    return (
        not _WORDS.isdisjoint(words)
        or any(part in run_together for part in _ANYWHERE)
        or (words[-1].endswith(_ENDINGS) and words[-1] not in _HARMLESS)
    )
