"""What the agents of one simulation see in the store, decoded: the same keys are the same view for all of them."""

from collections import deque

from agent.core.view import ModuleView, decode_view
from manager.model.keys import ClusterKeys
from manager.store.api import KeyValue

CLUSTER = ClusterKeys("sim")
MODULE = "db"
KEYS = CLUSTER.module(MODULE)
_KEPT = 8
"""One agent sees a change a few revisions before another one does."""


class Views:
    """Of the last times that somebody looked; a view is frozen, and follows from what it was made of alone."""

    def __init__(self) -> None:
        """Nobody has looked."""
        self._seen: deque[tuple[int, str, dict[str, KeyValue], ModuleView]] = deque(maxlen=_KEPT)

    def of(self, kvs: dict[str, KeyValue], revision: int, store_id: str) -> ModuleView:
        """``kvs``, as they stood at ``revision`` in the store ``store_id``."""
        for seen_revision, seen_id, seen_kvs, view in self._seen:
            if (seen_revision, seen_id) == (revision, store_id) and seen_kvs == kvs:
                return view
        view = decode_view(CLUSTER, MODULE, kvs, revision, store_id)
        self._seen.appendleft((revision, store_id, dict(kvs), view))
        return view
