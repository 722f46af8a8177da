"""How much a coming resync would look at, in words. Every number is one from above, or says that it is not."""

from manager.cli.progress import bytes_words
from manager.model.reports import DiffReport, Scope

_WHEN = {
    True: "the other node is in sync. If it were lost now, its resync would look at:",
    False: "the other node is not in sync. Its resync looks at:",
}
_SETS_ASIDE = """\
  before that, what that node alone has is set aside there, unless it was in sync since epoch {epoch}, which an operator
  began with this copy"""


def diff_lines(module: str, report: DiffReport) -> list[str]:
    """A headline and what belongs to it."""
    least = "" if report.whole else "at least "
    lines = [f"{module}: {_WHEN[report.in_sync]}"]
    if report.scope is Scope.EVERYTHING:
        lines.append(f"  everything, a full compare: {least}{bytes_words(report.bytes)}, {report.entries:,} entries")
        if report.decided:
            lines.append(_SETS_ASIDE.format(epoch=report.decided))
        return lines
    names = "all directories" if report.all_names else count_words(report.directories, "directory", "directories")
    if report.all_names or report.directories:
        entries = count_words(report.entries, "entry", "entries")
        lines.append(f"  the names in {names}: {least}{entries}")
    if report.inodes:
        lines.append(f"  the attributes of {count_words(report.inodes, 'file or directory', 'files and directories')}")
    if report.files:
        size = bytes_words(report.bytes)
        lines.append(
            f"  zones of {count_words(report.files, 'file', 'files')}: {least}{size}, of which what differs is sent"
        )
    if report.new_files:
        lines.append(
            f"  {least}{count_words(report.new_files, 'new file', 'new files')}: {bytes_words(report.new_bytes)}"
        )
    if len(lines) == 1:
        lines.append("  nothing")
    if report.unfound:
        what = count_words(report.unfound, "file or directory was", "files and directories were")
        lines.append(f"  {what} not found where last known: whole zones are counted")
    lines.append("  (by the list of what it lacks; a copy that the list is not about is compared as a whole)")
    return lines


def count_words(number: int, one: str, several: str) -> str:
    """A number and what it is of."""
    return f"{number:,} {one if number == 1 else several}"
