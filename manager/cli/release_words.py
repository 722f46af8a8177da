"""That the nodes' agents are of different releases, in words: what that means, and what to do. Pure.

Two releases that go together are worth a remark, since an upgrade is not done while they differ. Two that have no
version of an interface in common (``manager.model.versions``) refuse each other there; what each refusal means is said.
"""

from collections.abc import Iterable, Sequence

from manager.cli.harmless import harmless
from manager.model.api import OtherRelease

UPGRADE = (
    "Go on with the upgrade, one node after the other: /etc/init.d/mirrorfarm-agent upgrade. docs/operations.md, A new "
    "release, has the order."
)
TOGETHER = (
    "Install a release on {node} that goes with the others' (docs/operations.md, A new release); where there is none "
    "between the two, stop the modules and the agents of all nodes, install it on all, and start them again."
)
_MEANS = {
    "records": "what stands in etcd: the agent that comes second is not registered, and starts nothing",
    "stream": "the stream: neither copy is brought in sync with the other",
    "channel": "the agents' channel: the option --node before a command does not work between them",
    "probes": "a farm's probes: each counts the other as dead",
}
"""By interface; whatever else is strange is named as it is."""


def strange_lines(here: str, software: str, others: Iterable[OtherRelease]) -> list[str]:
    """A line for each registered node that does not go with ``here``, whose agent is of release ``software``."""
    return [
        f"{other.node} runs {release_word(other)}, {here} release {software}, and they do not go together. "
        f"They have no version in common of {strange_words(other.strange)}"
        for other in others
        if other.strange
    ]


def different_lines(here: str, software: str, others: Iterable[OtherRelease]) -> list[str]:
    """One line for all the other nodes of another release that goes with this one's; none: there are none."""
    named = [f"{other.node} {harmless(other.software)}" for other in others if not other.strange]
    if not named:
        return []
    return [f"the nodes run different releases: {here} {software}, {', '.join(named)}; they go together"]


def release_remedies(here: str, others: Sequence[OtherRelease]) -> list[str]:
    """What to do about either."""
    strangers = [other.node for other in others if other.strange]
    together = [TOGETHER.format(node=f"{here} or {', '.join(strangers)}")] if strangers else []
    return together or ([UPGRADE] if others else [])


def release_word(other: OtherRelease) -> str:
    """Its release."""
    return f"release {harmless(other.software)}" if other.software else "a release that is not understood here"


def strange_words(interfaces: Iterable[str]) -> str:
    """What is not understood, and what that means."""
    return "; ".join(_MEANS.get(name, harmless(name)) for name in interfaces)
