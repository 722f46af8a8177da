"""The [verify] table."""

import pytest

from manager.model.config import InvalidConfig, VerifyConfig, VerifyWindow
from tests.support.configurations import mirror

LEAST = """name = "db"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/db"]

[verify]
"""


def verify(text: str) -> VerifyConfig:
    return mirror(LEAST + text).verify


def test_without_the_table_nothing_is_compared_by_itself() -> None:
    assert mirror(LEAST.replace("[verify]", "")).verify == VerifyConfig((), 0, False) == verify("")


def test_a_schedule_with_and_without_days() -> None:
    text = """schedule = [{ days = ["sat", "sun"], from = "22:00", to = "06:00" }, { from = "00:00", to = "24:00" }]
        bandwidth = "50 MiB/s"
        repair = true
        """
    every = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    windows = VerifyWindow(22 * 60, 6 * 60, ("sat", "sun")), VerifyWindow(0, 24 * 60, every)
    assert verify(text) == VerifyConfig(windows, 50 << 20, True)


@pytest.mark.parametrize(
    ("text", "where", "found", "allowed"),
    [
        ('schedule = ["sun 02:00"]', "verify.schedule", '["sun 02:00"]', "tables, each begun by [[verify.schedule]]"),
        ('schedule = [{ from = "02:00" }]', "verify.schedule[0].to", "nothing, and it has no default", '"24:00"'),
        ('schedule = [{ from = "2:00", to = "04:00" }]', "verify.schedule[0].from", '"2:00"', '"00:00" to "23:59"'),
        ('schedule = [{ from = "02:00", to = "02:00" }]', "verify.schedule[0].to", '"02:00"', 'another time than'),
        (
            'schedule = [{ days = ["sunday"], from = "02:00", to = "04:00" }]',
            "verify.schedule[0].days[0]", '"sunday"', '"mon", "tue", "wed", "thu", "fri", "sat" or "sun"',
        ),
        (
            'schedule = [{ days = ["sun", "sun"], from = "02:00", to = "04:00" }]',
            "verify.schedule[0].days[1]", '"sun" again', "each entry once",
        ),
        (
            'schedule = [{ days = [], from = "02:00", to = "04:00" }]',
            "verify.schedule[0].days", "[]", "a list of at least one entry",
        ),
        (
            'schedule = [{ day = "sun", from = "02:00", to = "04:00" }]',
            "verify.schedule[0].day", "an unknown key", '"days" is the nearest',
        ),
        ("bandwidth = 5", "verify.bandwidth", "5", "a rate"),
        ('repair = "yes"', "verify.repair", '"yes"', "true or false"),
        ("repairs = true", "verify.repairs", "an unknown key", '"repair" is the nearest'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_is_allowed(text: str, where: str, found: str, allowed: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        verify(text)
    [finding] = refused.value.findings
    assert (finding.key, finding.found) == (where, found)
    assert allowed in finding.allowed


def test_windows_are_bounded() -> None:
    windows = ", ".join(['{ from = "01:00", to = "02:00" }'] * 65)
    with pytest.raises(InvalidConfig, match="65 windows"):
        verify(f"schedule = [{windows}]")
