"""What a forced start says for people: whether the other node answered, and what the copy is known to lack (S12). Pure.

Nothing is decided from it.
"""

from agent.core.state import Forcing
from manager.model.records import LackingRecord

_MIB = 1 << 20


def what_was_tried(forcing: Forcing) -> str:
    """Where the other node was asked without an answer, and where it could not be asked."""
    node, why_not = forcing.node, dict(forcing.untried)
    if not forcing.asked:
        return f"Where {node} was to be found is not known, so it could not be tried whether it is off."
    asked = [address for address in forcing.asked if address not in why_not]
    told = [f"{node} did not answer at {', '.join(asked)}."] if asked else []
    if why_not:
        told.append("Not asked: " + ", ".join(f"{address} ({why})" for address, why in forcing.untried) + ".")
    if not asked:
        told.append(f"So it could not be tried whether {node} is off.")
    return " ".join(told)


def what_is_lacking(node: str, lacking: LackingRecord | None) -> str:
    """What the copy of ``node`` is known to lack."""
    if lacking is None:
        return f"What the copy of {node} lacks was never told."
    since = f"The copy of {node} was in sync until {lacking.since or 'a time that is not known'}"
    if lacking.everything or not lacking.whole:
        return f"{since}; how much it lacks is not known."
    files, directories = _count(lacking.files, "file", "files"), _count(lacking.directories, "directory", "directories")
    much = f"{lacking.bytes / _MIB:.1f} MiB in {files}, the names in {directories}"
    return f"{since}; it lacked at {lacking.as_of} at the most {much}."


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
