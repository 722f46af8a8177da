"""What is seen outside of a lab, and is none of its own."""

import pytest

from tests.support.outside import is_of_a_vanished_device

SEEN = bytes.fromhex("45c0006c9a980000400112860a4e00020a4d00640304b66700000044") + b"E\x00\x00P"
"""As it was seen once beside a node's crash: fragmentation needed, an MTU of 68."""


def test_the_kernels_error_for_what_a_removed_node_was_about_to_send_is_none() -> None:
    assert is_of_a_vanished_device(SEEN)


@pytest.mark.parametrize(
    "packet",
    [
        SEEN[:26] + b"\x05\xdc" + SEEN[28:],  # Another MTU.
        SEEN[:21] + b"\x03" + SEEN[22:],  # A port that is unreachable.
        SEEN[:9] + b"\x06" + SEEN[10:],  # TCP.
        b"\x60" + SEEN[1:],  # IPv6.
        SEEN[:24],  # Too short.
    ],
)
def test_anything_else_is(packet: bytes) -> None:
    assert not is_of_a_vanished_device(packet)
