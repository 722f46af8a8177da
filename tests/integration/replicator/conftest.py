"""What several tests here need: a control group for an application."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cgroups import own_cgroup


@pytest.fixture
def cgroup() -> Iterator[Path]:
    made = own_cgroup()
    try:
        yield made
    finally:
        made.rmdir()
