"""What an agent shows of its replicator's connections: rates of the last seconds, and else that they are not known."""

from collections.abc import Callable

from agent.runtime.stream_figures import LASTS_NS, SPAN_NS, StreamFigures
from manager.model import control
from manager.model.stream_rates import StreamRates

SECOND_NS = 1_000_000_000


def status(sent: int, received: int = 0, operations: int | None = 0, role: str = "primary") -> control.Status:
    counters = {"bytes_wire": sent, "bytes_received": received, "frames_sent": 1}
    if operations is not None:
        counters["operations_completed"] = operations
    return control.Status(role, 3, frozen=False, held=False, counters=counters)


def figures() -> tuple[StreamFigures, list[int], Callable[..., StreamRates | None]]:
    now = [0]
    made = StreamFigures(lambda: now[0])

    def later(event: control.Event, seconds: float = 1) -> StreamRates | None:
        now[0] += int(seconds * SECOND_NS)
        made.heard(event)
        return made.shown

    return made, now, later


def test_the_rate_is_what_was_counted_between_two_statuses() -> None:
    _, _, later = figures()
    assert later(status(1_000)) is None, "one says nothing of how fast it goes"
    assert later(status(3_000, 500, 40), seconds=2) == StreamRates(1_000, 250, 20)
    assert later(status(0, 900, operations=None, role="secondary")) is None, "of another role"
    assert later(status(0, 1_000, operations=None, role="secondary")) == StreamRates(0, 100, None)


def test_it_is_that_of_the_last_seconds() -> None:
    _, _, later = figures()
    for second in range(30):
        later(status(1_000 * second))
    shown = [later(status(29_000)) for _ in range(SPAN_NS // SECOND_NS)]
    assert shown[0] is not None and shown[0].sent_bytes_s == 900
    assert shown[-1] == StreamRates(0, 0, 0)


def test_a_connection_that_ended_takes_its_counters_with_it() -> None:
    _, _, later = figures()
    later(status(5_000))
    later(status(6_000))
    assert later(status(10)) is None
    assert later(status(30)) == StreamRates(20, 0, 0)


def test_what_was_not_said_lately_is_not_known() -> None:
    made, now, later = figures()
    later(status(0))
    later(status(10))
    now[0] += LASTS_NS
    made.heard(control.Synced())
    assert made.shown is not None
    now[0] += 1
    assert made.shown is None
    later(status(20))
    made.gone()
    assert made.shown is None


def test_two_statuses_at_one_instant_are_no_rate() -> None:
    _, _, later = figures()
    later(status(0))
    assert later(status(10), seconds=0) is None
