"""An inode that has all the extended attributes that it may have can be told of, whatever it is in."""

from replicator.wire.copying import (
    MAX_LISTING,
    MAX_PATH,
    MAX_XATTRS,
    Attributes,
    Entry,
    Equalise,
    Part,
    encode_entry,
    encode_equalise,
    encode_part,
    split_entries,
    xattr_bytes,
)


def full(inode: int) -> Attributes:
    names = [b"user.%d" % number + b"n" * 200 for number in range(7)]
    each = MAX_XATTRS // len(names) - xattr_bytes(names[0], b"")
    found = tuple((name, b"v" * each) for name in names)
    assert MAX_XATTRS - len(names) < sum(xattr_bytes(*pair) for pair in found) <= MAX_XATTRS
    return Attributes(inode, 0o120777, 0, 0, 0, 0, 0, 1, 0, b"t" * 4095, found)


def test_it_is_told_of_in_a_directory_that_has_as_many() -> None:
    entry = encode_entry(Entry(b"n" * 255, full(2)))
    small = encode_entry(Entry(b"n" * 255, Attributes(3, 0o100644, 0, 0, 0, 0, 0, 1, 0, b"", ())))
    path = (b"n" * 255,) * (MAX_PATH // 257 - 1)
    before = [small] * (MAX_LISTING // len(small) - 1)
    for chunk in split_entries([*before, entry, *before]):
        assert encode_part(0, Part.FIRST, path, full(1), chunk)
    assert encode_equalise(Equalise(0, full(2)))
