"""What a cause means in a farm, where that is something else than in a mirror."""

from manager.cli.sentences import Sentence, sentence
from manager.model.reasons import Reason

_OF_A_FARM: dict[Reason, Sentence] = {
    Reason.SERVING: Sentence("The application runs here, and takes its share of what clients begin.", ""),
    Reason.SERVING_WITHOUT_STORE: Sentence(
        "The application runs here, and connections are shared as they were when etcd answered last: the director "
        "receives for as long as every node that answers it promises not to.",
        "See to etcd: mirrorfarm check. Until it answers no share and no director changes: what clients begin at a "
        "node that dies is lost.",
    ),
    Reason.HANDING_OVER: Sentence(
        "What begins is given to the other nodes; then the application is stopped here.",
        "Nothing: it ends by itself.",
    ),
    Reason.STARTING_APPLICATION: Sentence(
        "The application is being started.",
        "Nothing: it runs, or has failed, within its start_timeout. What its script says meanwhile: mirrorfarm logs "
        "{module} --script start_both on {node}",
    ),
    Reason.STOPPING_APPLICATION: Sentence(
        "The application is being stopped.",
        "Nothing: what has not ended within its stop_timeout is killed. What its script says meanwhile: mirrorfarm "
        "logs {module} --script stop_both on {node}",
    ),
    Reason.APPLICATION_FAILED: Sentence(
        "The application could not be started, or stopped by itself.",
        "Run mirrorfarm logs {module} --script start_both on {node}; it names the scripts and services that have logs. "
        "When the cause is gone: mirrorfarm restart {module} --node {node}",
    ),
}
"""A farm knows nothing of copies and primaries."""


def farm_sentence(reason: str, module: str, node: str) -> Sentence:
    """As :func:`manager.cli.sentences.sentence`, of a farm."""
    known = _OF_A_FARM.get(Reason(reason)) if reason in set(Reason) else None
    return sentence(reason, module, node) if known is None else known.about(module, node)
