"""The frame of netlink's messages: what is whole is found, what is not ends it."""

import errno
import struct

from manager import netlink_messages as n

KIND = 20


def test_a_request_is_read_as_it_was_written() -> None:
    datagram = n.message(KIND, n.DUMP, b"body") + n.message(n.DONE, 0, b"")
    assert list(n.messages(datagram)) == [(KIND, b"body"), (n.DONE, b"")]
    assert struct.unpack_from("=IHH", datagram) == (20, KIND, n.REQUEST | n.DUMP)


def test_each_begins_at_a_multiple_of_four_bytes() -> None:
    datagram = n.message(KIND, 0, b"odd") + b"\0" + n.message(KIND, 0, b"next")
    assert [body for _, body in n.messages(datagram)] == [b"odd", b"next"]
    assert n.attributes(n.attribute(1, b"odd") + b"\0" + n.attribute(2, b"next")) == {1: b"odd", 2: b"next"}


def test_what_is_not_whole_ends_it() -> None:
    whole = n.message(KIND, 0, b"whole---")
    for rest in (whole[:-1], whole[:9], struct.pack("=IHHII", 3, KIND, 0, 0, 0)):
        assert list(n.messages(whole + rest)) == [(KIND, b"whole---")]
    one = n.attribute(1, b"1234")
    assert n.attributes(one + one[:-1]) == n.attributes(one + b"\0\0\0\0") == {1: b"1234"}


def test_an_error_has_its_number_and_one_without_is_no_yes() -> None:
    assert n.error_code(struct.pack("=i", -errno.EPERM) + b"the request") == errno.EPERM
    assert n.error_code(struct.pack("=i", 0)) == 0
    assert n.error_code(b"") == errno.EBADMSG
