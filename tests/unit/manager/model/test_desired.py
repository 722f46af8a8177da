"""What an operator wants of a node: its weight in a farm."""

import pytest

from manager.model.records import WEIGHT, DesiredRecord
from manager.model.states import Run


@pytest.mark.parametrize(("text", "weight"), [("0", 0), ("1", 1), ("007", 7), ("100", 100)])
def test_a_weight_is_a_whole_number_to_a_hundred(text: str, weight: int) -> None:
    assert DesiredRecord(Run.STARTED, {WEIGHT: text}).weight == weight


@pytest.mark.parametrize("text", ["", "101", "-1", "1.5", "off", "²", "٣", "9" * 5000])
def test_what_is_no_weight_leaves_the_configurations(text: str) -> None:
    assert DesiredRecord(Run.STARTED, {WEIGHT: text}).weight is None


def test_without_the_switch_the_configurations_counts() -> None:
    assert DesiredRecord(Run.STOPPED).weight is None
