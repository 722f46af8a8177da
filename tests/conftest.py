"""What all rungs share: hypothesis's profiles, and the order of the files.

``ci`` is the default: few examples, always the same ones, so that a run is quick and repeatable. ``soak``
(``MIRRORFARM_SOAK=1``) is the same tests at full counts, with new examples each time.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests import longest_first

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("ci", max_examples=60, derandomize=True, deadline=None, suppress_health_check=_QUIET)
settings.register_profile("soak", max_examples=2000, deadline=None, suppress_health_check=_QUIET, print_blob=True)
settings.load_profile("soak" if os.environ.get("MIRRORFARM_SOAK") == "1" else "ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first.sort(items)
