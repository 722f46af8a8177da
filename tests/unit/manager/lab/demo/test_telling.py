import pytest

from manager.lab.demo.telling import Teaching
from manager.lab.errors import LabError


def test_it_ends_well_only_if_every_check_held(capsys: pytest.CaptureFixture[str]) -> None:
    told = Teaching()
    told.check(True, "one")
    assert told.conclude(None) == 0
    told.check(False, "two", "3 missing")
    assert told.conclude(None) == 1
    assert "FAILED: two: 3 missing" in capsys.readouterr().out


def test_one_that_was_broken_off_has_failed() -> None:
    told = Teaching()
    told.check(True, "one")
    assert told.conclude(LabError("the client has ended")) == 1
