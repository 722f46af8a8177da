"""Who has an fsync's error still to come: everyone who had the file open when something of it was lost.

The kernel tells each open file once that what was written did not come to the disk. Below there is one open file for
all of an inode's, and so whoever syncs first is told, and nobody else. The others hear it here, each by its next fsync.
"""


class _Loss:
    """Of one inode."""

    __slots__ = ("code", "last", "told")

    def __init__(self, code: int, last: int, first: int) -> None:
        self.code = code
        self.last = last
        """Of the open files that were there."""
        self.told = {first}


class Untold:
    """Of one mounted directory. Open files are known by the numbers that they get here."""

    def __init__(self) -> None:
        self._last = 0
        self._losses: dict[int, _Loss] = {}

    def opened(self) -> int:
        """The number of another open file; of no file before."""
        self._last += 1
        return self._last

    def answer(self, inode: int, opened: int, result: int) -> int:
        """What an fsync of ``inode`` by that open file is to be answered, whose own result is 0 or a negative errno."""
        if result < 0:
            self._losses[inode] = _Loss(result, self._last, opened)
            return result
        loss = self._losses.get(inode)
        if loss is None or opened > loss.last or opened in loss.told:
            return result
        loss.told.add(opened)
        return loss.code

    def forget(self, inode: int) -> None:
        """Nobody has it open any more."""
        self._losses.pop(inode, None)
