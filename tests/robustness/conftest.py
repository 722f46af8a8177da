"""The labs of these tests, and their order: the longest first, so that none of four processes waits for the others."""

import pytest

from tests.support.lab import lab
from tests.support.recorded_fixtures import cluster

__all__ = ["cluster", "lab"]

_LONGEST = ("test_history.py", "test_bank.py", "test_schedules.py", "test_farm.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _LONGEST.index(item.path.name) if item.path.name in _LONGEST else len(_LONGEST))
