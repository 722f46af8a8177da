"""Which tests share a process when they run in two (``pytest -n 2 --dist loadgroup``): those of one file.

All of the lab are one group: two labs beside each other would make their timings the machine's, not ours.
"""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


# Before xdist's own hook, which reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            group = "lab" if item.path.is_relative_to(_HERE / "lab") else str(item.path)
            item.add_marker(pytest.mark.xdist_group(group))
