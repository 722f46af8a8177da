"""What is asked of the page cache, wherever in a file."""

from pathlib import Path

import pytest

from replicator.disk.survey import LARGEST, forget_ahead, forget_cached


@pytest.mark.parametrize(("offset", "length"), [(0, LARGEST), (LARGEST - 1, 1), (LARGEST - (3 << 20), 1 << 20)])
def test_what_is_cached_is_forgotten_up_to_the_end_of_the_largest_file(
    tmp_path: Path, offset: int, length: int
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with open(tmp_path / "file", "rb") as file:
        forget_cached(file.fileno(), offset, length)
        forget_ahead(file.fileno(), offset, length)
