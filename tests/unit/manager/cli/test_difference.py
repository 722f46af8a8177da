"""diff in words: what it counts, and that it says where it is not all."""

from dataclasses import replace

from manager.cli.difference import diff_lines
from manager.model.control import DiffReport, Scope

NOTHING = DiffReport("r", Scope.CHANGES, True, True, False, 0, 0, 0, 0, 0, 0, 0, 0)
SOME = replace(
    NOTHING, in_sync=False, directories=2, entries=30, inodes=1, files=3, bytes=24 << 20, new_files=2, new_bytes=2000
)


def test_nothing_is_said_to_be_nothing() -> None:
    lines = diff_lines("db", NOTHING)
    assert "is in sync. If it were lost now" in lines[0] and lines[1] == "  nothing"


def test_each_sort_has_its_line() -> None:
    assert diff_lines("db", SOME) == [
        "db: the other node is not in sync. Its resync looks at:",
        "  the names in 2 directories: 30 entries",
        "  the attributes of 1 file or directory",
        "  zones of 3 files: 24.0 MiB, of which what differs is sent",
        "  2 new files: 2.0 KiB",
        "  (by the list of what it lacks; a copy that the list is not about is compared as a whole)",
    ]


def test_what_was_not_looked_at_to_the_end_is_a_least() -> None:
    lines = diff_lines("db", replace(SOME, whole=False, all_names=True, unfound=1))
    assert lines[1] == "  the names in all directories: at least 30 entries"
    assert lines[3].startswith("  zones of 3 files: at least 24.0 MiB") and lines[4].startswith(
        "  at least 2 new files"
    )
    assert lines[5].startswith("  1 file or directory was not found")


def test_everything_is_a_full_compare() -> None:
    everything = replace(NOTHING, scope=Scope.EVERYTHING, in_sync=False, entries=1234, bytes=5 << 30)
    assert diff_lines("db", everything)[1] == "  everything, a full compare: 5.0 GiB, 1,234 entries"


def test_after_a_forced_start_what_the_other_node_alone_has_is_set_aside_first() -> None:
    everything = replace(NOTHING, scope=Scope.EVERYTHING, in_sync=False, entries=1234, bytes=5 << 30, decided=6)
    [_, compare, aside] = diff_lines("db", everything)
    assert "a full compare" in compare
    assert "set aside there, unless it was in sync since epoch 6" in aside
    assert "set aside" not in "".join(diff_lines("db", replace(SOME, decided=6))), "it has been in sync since"
