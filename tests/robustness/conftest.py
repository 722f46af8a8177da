"""The labs of these tests."""

from tests.support.lab import lab
from tests.support.recorded_fixtures import cluster

__all__ = ["cluster", "lab"]
