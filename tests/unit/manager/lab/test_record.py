from dataclasses import replace
from pathlib import Path

import pytest

from manager.lab.errors import LabError
from manager.lab.record import Record, Records

RECORD = Record(("a", "b"), "/lab", True, 3, 0.0, "process 7 (mirrorfarm lab up)")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    records = Records(str(tmp_path / "run"))
    assert records.read() is None
    records.claim(RECORD)
    assert records.read() == RECORD
    records.write(replace(RECORD, watchdog_pid=9))
    assert records.read() == replace(RECORD, watchdog_pid=9)


def test_the_second_is_told_who_has_the_first(tmp_path: Path) -> None:
    records = Records(str(tmp_path / "run"))
    records.claim(RECORD)
    with pytest.raises(LabError, match=r"up already, in /lab .*process 7.*There can be one at a time"):
        records.claim(RECORD)


def test_after_it_was_removed_there_is_none(tmp_path: Path) -> None:
    records = Records(str(tmp_path / "run"))
    records.claim(RECORD)
    records.remove()
    records.remove()
    assert records.read() is None
    assert list(tmp_path.iterdir()) == []


def test_half_a_claim_is_not_taken_for_a_lab(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(LabError, match="half-made"):
        Records(str(tmp_path / "run")).claim(RECORD)


def test_a_damaged_record_is_said_to_be_one(tmp_path: Path) -> None:
    records = Records(str(tmp_path / "run"))
    records.claim(RECORD)
    (tmp_path / "run" / "lab.json").write_text("{")
    with pytest.raises(LabError, match="damaged"):
        records.read()


def test_a_lab_with_a_name_is_beside_the_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIRRORFARM_LAB", raising=False)
    assert (Records().directory, Records().label) == ("/run/mirrorfarm-lab", "mirrorfarm-lab")
    monkeypatch.setenv("MIRRORFARM_LAB", "two")
    assert (Records().directory, Records().label) == ("/run/mirrorfarm-lab-two", "mirrorfarm-lab-two")
    assert Records().default_directory == "/var/lib/mirrorfarm-lab-two"


@pytest.mark.parametrize("name", ["../etc", "Two", "a b", "x" * 33])
def test_what_is_no_name_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MIRRORFARM_LAB", name)
    with pytest.raises(LabError, match="MIRRORFARM_LAB"):
        Records()
