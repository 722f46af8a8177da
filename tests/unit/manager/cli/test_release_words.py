"""What check says of the nodes' releases: before the installed one is started, too."""

from dataclasses import replace

import pytest

import manager
from manager.cli.checks.finding import Level
from manager.cli.checks.releases import releases
from manager.cli.release_words import release_remedies, strange_lines, strange_words
from manager.model.api import NodeInfo, OtherRelease, RegisteredNode
from manager.model.versions import SPEAKS

OWN = manager.__version__
NODES = (RegisteredNode("a", (), OWN, "", dict(SPEAKS)), RegisteredNode("b", (), OWN, "", dict(SPEAKS)))
INFO = NodeInfo("main", "a", OWN, True, NODES)


def told(info: NodeInfo) -> list[tuple[Level, str]]:
    return [(finding.level, finding.says) for finding in releases(info)]


def beside(node: RegisteredNode) -> NodeInfo:
    return replace(INFO, nodes=(NODES[0], node))


def test_one_release_on_all_is_in_order() -> None:
    assert told(INFO) == [(Level.OK, f"{OWN}, as on b")]
    assert told(replace(INFO, nodes=NODES[:1])) == [(Level.OK, OWN)]


def test_an_agent_that_was_not_exchanged_yet_is_a_note() -> None:
    assert told(replace(INFO, software="0.0.9"))[0] == (
        Level.NOTE,
        f"{OWN} is installed on this node, and its agent still runs release 0.0.9.",
    )


def test_another_release_that_goes_with_this_one_is_a_note() -> None:
    newer: dict[str, tuple[int, ...]] = {name: (min(both), max(both) + 1) for name, both in SPEAKS.items()}
    found = told(beside(replace(NODES[1], software="9.0.0", speaks=newer)))
    assert found == [(Level.NOTE, f"b runs release 9.0.0, and {OWN} is installed here: they go together.")]


@pytest.mark.parametrize("interface", list(SPEAKS))
def test_one_that_does_not_is_an_error_that_says_what_it_means(interface: str) -> None:
    strange = dict(SPEAKS) | {interface: (97, 99)}
    for software in ("9.0.0", OWN):
        ((level, says),) = told(beside(replace(NODES[1], software=software, speaks=strange)))
        assert level is Level.ERROR
        assert says.startswith(f"b runs release {software}, which does not go with {OWN}, installed here")
        assert strange_words([interface]) in says


def test_a_registration_that_is_not_understood_is_an_error() -> None:
    info = replace(INFO, nodes=NODES[:1], others=(OtherRelease("b", "", ("records",)), OtherRelease("c", "9")))
    assert [level for level, _ in told(info)] == [Level.ERROR], "c is among the nodes, or has gone"


def test_an_interface_of_another_release_is_named_as_it_is() -> None:
    assert strange_words(["telepathy\x1b[1m"]) == "telepathy\\x1b[1m"


def test_where_some_do_not_go_together_that_is_what_is_to_be_done_about() -> None:
    others = (OtherRelease("b", "2", ("stream",)), OtherRelease("c", "1.1"))
    (line,) = strange_lines("a", "1", others)
    assert line.startswith("b runs release 2, a release 1")
    (remedy,) = release_remedies("a", others)
    assert remedy.startswith("Install a release on a or b ")
    assert release_remedies("a", ()) == []
