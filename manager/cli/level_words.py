"""What ``state`` and ``loglevel`` say of a level that an operator wants for a while."""

from collections.abc import Iterable

from manager.cli.progress import left_words
from manager.model.api_log_levels import StandingLevel


def level_lines(here: str, standing: Iterable[StandingLevel]) -> list[str]:
    """That a level stands on ``here``: a line for each; no level, no line."""
    return [
        f"{here} logs {f'of {one.module} ' if one.module else ''}{standing_words(one)} "
        f"(mirrorfarm loglevel configured{f' -m {one.module}' if one.module else ''} ends it)"
        for one in standing
    ]


def standing_words(standing: StandingLevel) -> str:
    """From which level on, and how long still."""
    return f"from {level_word(standing)} on for another {left_words(standing.left_ms)}"


def level_word(standing: StandingLevel) -> str:
    """The level."""
    return standing.level or "a level that is not known here"
