"""What an agent shows of what its replicator says of itself: what that said lately, and else that it is not known."""

from dataclasses import replace

import pytest

from agent.runtime.replicator_status import LASTS_NS, ReplicatorStatus
from manager.model import control
from manager.model.api import ApiError
from manager.model.api_snapshot import ReplicatorReport
from manager.model.refused_streams import HERE, RefusedStream

STATUS = control.Status("secondary", 3, frozen=False, held=False)
ONE = RefusedStream("", "10.0.0.1", "tls_expired", "its certificate is over", HERE, "2026-11-26T03:00:00Z", 7)


def test_what_the_last_status_said_is_shown_for_as_long_as_they_come() -> None:
    now = [1]
    said = ReplicatorStatus(lambda: now[0])
    assert said.refused is None
    said.heard(replace(STATUS, refused=(ONE,)))
    assert said.refused == (ONE,)
    now[0] += LASTS_NS
    said.heard(control.Synced())
    assert said.refused == (ONE,)
    now[0] += 1
    assert said.refused is None, "a replicator that does not answer may have let it in since"
    said.heard(replace(STATUS, refused=()))
    assert said.refused == ()


def test_what_a_replicator_knew_ends_with_it() -> None:
    said = ReplicatorStatus(lambda: 1)
    said.heard(replace(STATUS, refused=(ONE,)))
    said.gone()
    assert said.refused is None


def test_a_former_releases_replicator_does_not_say() -> None:
    said = ReplicatorStatus(lambda: 1)
    line = b'{"type": "Status", "role": "idle", "epoch": 0, "frozen": false, "held": false}\n'
    said.heard(control.from_line(control.EVENTS, line))
    assert said.refused is None
    said.heard(control.from_line(control.EVENTS, control.to_line(replace(STATUS, refused=(ONE,)))))
    assert said.refused == (ONE,)


def test_all_that_it_has_said_is_told_with_how_old_it_is() -> None:
    now = [7_000_000]
    said = ReplicatorStatus(lambda: now[0])
    with pytest.raises(ApiError, match="No replicator of db"):
        said.report("db")
    said.heard(replace(STATUS, counters={"barriers": 4}))
    now[0] += 60_000_000_000
    assert said.report("db") == ReplicatorReport("db", 60_000, replace(STATUS, counters={"barriers": 4}))
    said.gone()
    with pytest.raises(ApiError):
        said.report("db")
