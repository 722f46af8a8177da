"""A client that sends numbers to ``tests.support.recorded_work`` through an address: runs inside the lab's client.

``python -m tests.support.number_client ADDRESS FIRST``: prints each number as it is sent (``?N``) and as it is
answered (``!N``). A number that was not answered is never sent again: whether it was taken is not known.
"""

import socket
import sys
import time

from tests.support.recorded_work import PORT

_ANSWER_S = 2.0
_PAUSE_S = 0.01


def main() -> None:
    """Until it is killed."""
    address, number = sys.argv[1], int(sys.argv[2])
    while True:
        try:
            with socket.create_connection((address, PORT), timeout=_ANSWER_S) as link, link.makefile("rwb") as stream:
                while True:
                    number += 1
                    print(f"?{number}", flush=True)
                    stream.write(b"%d\n" % number)
                    stream.flush()
                    if stream.readline() != b"%d\n" % number:
                        break
                    print(f"!{number}", flush=True)
                    time.sleep(_PAUSE_S)
        except OSError:
            time.sleep(0.1)  # Nobody serves now, or it has gone: the next one is asked.


if __name__ == "__main__":
    main()
