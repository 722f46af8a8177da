"""A replicator of the next minor release, as far as there can be one yet: it speaks one version more, and says more.

``python -m tests.support.next_release --spec FILE`` is ``replicator.main`` with another version of the stream beside
today's, and with a field more in its handshake. With :data:`ALONE` in its environment it has forgotten today's.
"""

import json
import os
from functools import wraps
from typing import Any

from manager.model import versions

ALONE = "MIRRORFARM_NEXT_VERSION_ALONE"
NEXT = versions.STREAM.newest + 1


def main() -> None:
    """Run it."""
    oldest = NEXT if ALONE in os.environ else versions.STREAM.oldest
    vars(versions)["STREAM"] = versions.Spoken(oldest, NEXT)  # before anything that takes it from there
    from replicator import main as today
    from replicator.wire import messages

    encode = messages.encode_handshake

    @wraps(encode)
    def encode_more(message: Any) -> bytes:
        return json.dumps(json.loads(encode(message)) | {"added": {"later": [1, 2]}}).encode()

    vars(messages)["encode_handshake"] = encode_more
    today.main()


if __name__ == "__main__":
    main()
