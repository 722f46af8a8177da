"""What a replay speaks of: the model's steps, the transactions of the shipped core, and how the two may part."""

from typing import Final

from agent.core import commands as k
from agent.core.events import Tag
from manager.model.codec import decode
from manager.model.records import InsyncRecord
from manager.store.api import Put
from tests.model.replay_agent import KEYS
from tests.model.state import FOLLOWS, SYNC, Key, State, Step

TAGS: Final = {
    "stands": Tag.ELECT, "takes": Tag.TAKE_OVER, "adds": Tag.RECORD, "drops": Tag.RECORD, "writes": Tag.RECORD,
    "withdraws": Tag.RECORD, "resumes": Tag.RESUME,
}  # fmt: skip
"""By the step's verb: the purpose of its transaction."""


def verb_of(what: str) -> str:
    """The verb of a step, without its node."""
    return what.split()[0].rstrip(",:")


def record_in(commit: k.Commit) -> InsyncRecord:
    """The record that it would write."""
    put = next(p for p in commit.txn.then if isinstance(p, Put) and p.key == KEYS.insync)
    return decode(InsyncRecord, put.value)


class Parted(AssertionError):
    """Model and shipped code do not agree."""


def is_replayable(state: State, step: Step) -> bool:
    """Whether the shipped core may do it as well: that the model's nodes may do more makes what it shows stronger."""
    who, _, what = step.text.partition(": ")
    if len(who) != 1:
        return True
    n = ord(who) - ord("A")
    stream, primary, key = state.streams[n * 2 + 1 - n], state.nodes[n].primary, state.store.key
    whole = stream is not None and stream.near and stream.far and stream.mode == SYNC
    match verb_of(what):
        case "stands":
            # A core does not stand while it sees a key, even if that is about to go; nor without an operator where
            # the record lists it by a first start of which its disk knows nothing.
            return key is None and (state.nodes[n].epoch > 0 or not state.store.holders)
        case "is":
            return not state.store.absent >> (1 - n) & 1  # What is not registered is offered nothing.
        case "takes":
            return state.nodes[n].role == FOLLOWS  # Another process than the one that followed does not take over.
        case "adds":
            return stream is not None and stream.far  # A core sees by its member record that another process is there.
        case "writes":
            # A core writes as wanted: with a node that has everything, without one that is lost.
            unknown = primary.unknown if primary is not None and primary.unknown is not None else ("", 0)
            joined = stream is not None and stream.near and unknown[0] == "add"
            return stream is not None and stream.far if "anew with " in what else not joined
        case "resumes":
            # A core that has offered its place waits for its end; else the other one is to be there.
            return primary is not None and not primary.offered and (whole or not primary.required)
        case "sees":
            # Alone, or with another's promise, a core serves on: it resumes.
            return primary is not None and (bool(primary.required) or (key is not None and key.node != n))
        case _:
            # A core follows the primary that the store shows.
            return " connects, " not in what or key == Key(n, state.nodes[n].epoch)


class Stricter(Exception):
    """Here the shipped code, or etcd, allows less than the model: the replay ends."""
