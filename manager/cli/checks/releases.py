"""Whether the release that is installed here goes with those that the nodes' agents run: before it is started, too."""

from collections.abc import Iterator

import manager
from manager.cli.checks.finding import Finding, error, note, ok
from manager.cli.release_words import TOGETHER, UPGRADE, release_word, strange_words
from manager.model.api import NodeInfo, OtherRelease
from manager.model.versions import strange


def releases(info: NodeInfo) -> Iterator[Finding]:
    """By the registrations, as this node's agent has them from etcd; without etcd, as they were.

    What is looked at is the release of this command: it is what the agent will be when it is exchanged.
    """
    installed = manager.__version__
    if info.software != installed:
        yield note(
            "release",
            f"{installed} is installed on this node, and its agent still runs release {info.software}.",
            "Exchange it: /etc/init.d/mirrorfarm-agent upgrade, as docs/operations.md says under A new release.",
        )
    others = [node for node in info.nodes if node.node != info.node]
    found = [OtherRelease(node.node, node.software, strange(node.speaks)) for node in others]
    found += [other for other in info.others if not other.software]
    for other in found:
        if other.strange:
            yield error(
                "release",
                f"{other.node} runs {release_word(other)}, which does not go with {installed}, installed here: they "
                f"have no version in common of {strange_words(other.strange)}.",
                TOGETHER.format(node=f"{info.node} or {other.node}"),
            )
        elif other.software != installed:
            yield note(
                "release",
                f"{other.node} runs {release_word(other)}, and {installed} is installed here: they go together.",
                UPGRADE,
            )
    if not any(other.strange or other.software != installed for other in found):
        yield ok("release", f"{installed}, as on {', '.join(o.node for o in found)}" if found else installed)
