"""What a cause means in a farm, where that is something else than in a mirror."""

from manager.cli.sentences import Sentence, sentence
from manager.model.reasons import Reason

_OF_A_FARM: dict[Reason, Sentence] = {
    Reason.SERVING: Sentence("The application runs here, and takes its share of what clients begin.", ""),
    Reason.LEASE_LOST: Sentence(
        "This node could not renew its lease in time, so that others may think it dead.",
        "Run mirrorfarm check on {node}: its network or etcd was away. It comes back by itself.",
    ),
    Reason.APPLICATION_FAILED: Sentence(
        "The application could not be started, or stopped by itself.",
        "Run mirrorfarm logs {module} --script start_both on {node}; it names the scripts and services that have logs. "
        "When the cause is gone: mirrorfarm restart {module} --node {node}",
    ),
    Reason.WAITING_TO_STOP: Sentence("It stops as soon as its share is other nodes'.", ""),
}
"""A farm knows nothing of copies and primaries."""


def farm_sentence(reason: str, module: str, node: str) -> Sentence:
    """As :func:`manager.cli.sentences.sentence`, of a farm."""
    known = _OF_A_FARM.get(Reason(reason)) if reason in set(Reason) else None
    return sentence(reason, module, node) if known is None else known.about(module, node)
