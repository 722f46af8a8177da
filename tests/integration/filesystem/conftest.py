"""The grounds of these tests: the file system with an issuer that is alone, on a loop-mounted ext4 and xfs."""

import os
import time
from collections.abc import Iterator

import pytest

from tests.support.grounds import Grounds, loop_mounted
from tests.support.local_issuer import mounted

SIZE_MIB = {"ext4": 128, "xfs": 320}


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def grounds(request: pytest.FixtureRequest) -> Iterator[Grounds]:
    with loop_mounted(request.param, SIZE_MIB[request.param]) as directory:
        plain, mirrored = os.path.join(directory, "plain"), os.path.join(directory, "mirrored")
        for path in (plain, mirrored):
            os.mkdir(path, 0o777)
            os.chmod(path, 0o777)
        below = os.open(mirrored, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with mounted(mirrored):
                yield Grounds(plain, mirrored, f"/proc/self/fd/{below}", lambda: time.sleep(1))
        finally:
            os.close(below)
