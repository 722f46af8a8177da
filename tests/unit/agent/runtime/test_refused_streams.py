"""What an agent shows of its replicator's refused streams: what that said lately, and else that it is not known."""

from dataclasses import replace

from agent.runtime.refused_streams import LASTS_NS, RefusedStreams
from manager.model import control
from manager.model.refused_streams import HERE, RefusedStream

STATUS = control.Status("secondary", 3, frozen=False, held=False)
ONE = RefusedStream("", "10.0.0.1", "tls_expired", "its certificate is over", HERE, "2026-11-26T03:00:00Z", 7)


def test_what_the_last_status_said_is_shown_for_as_long_as_they_come() -> None:
    now = [1]
    refused = RefusedStreams(lambda: now[0])
    assert refused.shown is None
    refused.heard(replace(STATUS, refused=(ONE,)))
    assert refused.shown == (ONE,)
    now[0] += LASTS_NS
    refused.heard(control.Synced())
    assert refused.shown == (ONE,)
    now[0] += 1
    assert refused.shown is None, "a replicator that does not answer may have let it in since"
    refused.heard(replace(STATUS, refused=()))
    assert refused.shown == ()


def test_what_a_replicator_knew_ends_with_it() -> None:
    refused = RefusedStreams(lambda: 1)
    refused.heard(replace(STATUS, refused=(ONE,)))
    refused.gone()
    assert refused.shown is None


def test_a_former_releases_replicator_does_not_say() -> None:
    refused = RefusedStreams(lambda: 1)
    line = b'{"type": "Status", "role": "idle", "epoch": 0, "frozen": false, "held": false}\n'
    refused.heard(control.from_line(control.EVENTS, line))
    assert refused.shown is None
    refused.heard(control.from_line(control.EVENTS, control.to_line(replace(STATUS, refused=(ONE,)))))
    assert refused.shown == (ONE,)
