from agent.api_view import Keys
from agent.api_view_releases import other_releases
from manager.model.api import OtherRelease
from manager.model.codec import encode
from manager.model.keys import ClusterKeys
from manager.model.records import NodeRecord
from manager.model.versions import SPEAKS

KEYS = ClusterKeys("c")


def registered(node: str, software: str, **speaks: tuple[int, int]) -> str:
    return encode(NodeRecord(node, (), software, "boot", "i", 0, dict(SPEAKS) | speaks))


def test_those_of_other_releases_by_name() -> None:
    values = {
        KEYS.node("a"): registered("a", "1", records=(9, 9)),
        KEYS.node("b"): registered("b", "1"),
        KEYS.node("d"): registered("d", "2"),
        KEYS.node("c"): registered("c", "1", stream=(9, 9), probes=(9, 9)),
        KEYS.node("e"): '{"version": 2}',
        KEYS.known("f"): registered("f", "3"),
    }
    assert other_releases(Keys(KEYS, values), "a", "1") == (
        OtherRelease("c", "1", ("stream", "probes")),
        OtherRelease("d", "2"),
        OtherRelease("e", "", ("records",)),
    )
