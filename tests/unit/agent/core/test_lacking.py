"""What the history says of a forced start."""

import pytest

from agent.core.lacking import what_is_lacking, what_was_tried
from agent.core.state import Forcing
from manager.model.records import LackingRecord

TOLD = LackingRecord("a", "b", 4, "then", "later", 1, 1 << 20, 1, everything=False)


@pytest.mark.parametrize(
    ("lacking", "says"),
    [
        (None, "What the copy of a lacks was never told."),
        (TOLD, "until then; it lacked at later at the most 1.0 MiB in 1 file, the names in 1 directory."),
        (LackingRecord("a", "b", 4, "then", "", 0, 0, 0, True, False), "until then; how much it lacks is not known."),
        (LackingRecord("a", "b", 4, "then", "later", 9, 9, 9, False, False), "how much it lacks is not known."),
        (LackingRecord("a", "b", 4, "", "later", 9, 9, 9, True), "in sync until a time that is not known; how much"),
    ],
)
def test_no_number_stands_where_it_is_not_known(lacking: LackingRecord | None, says: str) -> None:
    assert says in what_is_lacking("a", lacking)


def forcing(asked: tuple[str, ...], *untried: str) -> Forcing:
    return Forcing("r1", "b", "root", 0, asked=asked, untried=tuple((a, "no route") for a in untried), answering="")


@pytest.mark.parametrize(
    ("looked", "says"),
    [
        (forcing(()), "Where b was to be found is not known, so it could not be tried whether it is off."),
        (forcing(("10.0.0.2",)), "b did not answer at 10.0.0.2."),
        (
            forcing(("fd77::1", "fd77::1:5"), "fd77::1:5"),
            "b did not answer at fd77::1. Not asked: fd77::1:5 (no route).",
        ),
        (
            forcing(("10.0.0.2",), "10.0.0.2"),
            "Not asked: 10.0.0.2 (no route). So it could not be tried whether b is off.",
        ),
    ],
)
def test_what_could_not_be_tried_is_said(looked: Forcing, says: str) -> None:
    assert what_was_tried(looked) == says
