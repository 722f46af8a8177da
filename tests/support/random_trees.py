"""Random changes to a directory by plain system calls: to build trees, and to change them behind the system's back."""

import contextlib
import errno
import os
import random
import shutil
import stat
from collections.abc import Sequence

NAMES = [b"a", b"b", b"c", b"d", b"e", b"\xff\xfe\x80", b"new\nline", b"x" * 255]
SIZES = [0, 1, 100, 4096, 65536, 70000, 150000]
MANY_NAMES = [*NAMES, *(b"%d" % number for number in range(60))]
XATTRS = [b"user.one", b"trusted.two", b"user.three"]


class RandomTree:
    """One directory, changed at random. What the file system refuses does not happen."""

    def __init__(self, root: str, rng: random.Random, names: Sequence[bytes] = NAMES) -> None:
        self.root = os.fsencode(root)
        self.rng = rng
        self.names = names

    def change(self, count: int) -> None:
        """Does so many random things."""
        actions = [
            *[self.make_file] * 5,
            *[self.make_directory] * 5,
            *[self.link] * 3,
            *[self.rename] * 5,
            *[self.write] * 4,
            self.make_symlink,
            self.make_special,
            self.unlink,
            self.remove_tree,
            self.set_mode,
            self.set_owner,
            self.set_times,
            self.set_xattr,
            self.resize,
        ]
        for _ in range(count):
            # What cannot be done with what was drawn is just not done.
            with contextlib.suppress(FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
                self.rng.choice(actions)()

    # Where

    def directories(self) -> list[bytes]:
        found = [self.root]
        for directory in found:
            for entry in os.scandir(directory):
                if entry.is_dir(follow_symlinks=False) and entry.name != b".mirrorfarm":
                    found.append(entry.path)
        return found

    def place(self) -> bytes:
        return os.path.join(self.rng.choice(self.directories()), self.rng.choice(self.names))

    def existing(self) -> bytes:
        """Any entry. Raises FileNotFoundError when the tree is empty."""
        found = [
            entry.path
            for directory in self.directories()
            for entry in os.scandir(directory)
            if entry.name != b".mirrorfarm"
        ]
        if not found:
            raise FileNotFoundError(errno.ENOENT, "nothing is there")
        return self.rng.choice(found)

    def file(self) -> bytes:
        path = self.existing()
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise FileNotFoundError(errno.ENOENT, "no file")
        return path

    # What

    def make_file(self) -> None:
        with open(self.place(), "xb") as file:
            size = self.rng.choice(SIZES)
            file.truncate(size)
            if size and self.rng.random() < 0.8:
                file.seek(self.rng.randrange(size))
                file.write(self.rng.randbytes(4))
                file.truncate(size)

    def make_directory(self) -> None:
        os.mkdir(self.place(), self.rng.choice([0o755, 0o700, 0o3775]))

    def make_symlink(self) -> None:
        os.symlink(self.rng.choice([b"a", b"/nowhere", b"\xfe/.."]), self.place())

    def make_special(self) -> None:
        kind = self.rng.choice([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR])
        os.mknod(self.place(), kind | 0o640, os.makedev(1, self.rng.choice([3, 5])) if kind == stat.S_IFCHR else 0)

    def link(self) -> None:
        source = self.existing()
        if not os.path.isdir(source) or os.path.islink(source):
            os.link(source, self.place(), follow_symlinks=False)

    def rename(self) -> None:
        source, target = self.existing(), self.place()
        if not target.startswith(source):
            with contextlib.suppress(OSError):  # a directory over a full one
                os.rename(source, target)

    def write(self) -> None:
        path = self.file()
        size = max(1, os.lstat(path).st_size)
        with open(path, "r+b") as file:
            file.seek(self.rng.randrange(size + 100))
            file.write(self.rng.randbytes(self.rng.choice([1, 50, 5000])))
        if self.rng.random() < 0.3:  # as one who covers his tracks
            os.utime(path, ns=(0, 1_000_000_000))

    def resize(self) -> None:
        os.truncate(self.file(), self.rng.choice(SIZES))

    def unlink(self) -> None:
        os.unlink(self.existing())

    def remove_tree(self) -> None:
        path = self.existing()
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
            if self.rng.random() < 0.5:
                with open(path, "xb") as file:
                    file.write(b"once a directory")

    def set_mode(self) -> None:
        path = self.existing()
        if not os.path.islink(path):
            os.chmod(path, self.rng.choice([0o644, 0o000, 0o4755, 0o2755, 0o1777, 0o400]))

    def set_owner(self) -> None:
        os.chown(self.existing(), self.rng.choice([0, 12, 99]), self.rng.choice([0, 5]), follow_symlinks=False)

    def set_times(self) -> None:
        os.utime(self.existing(), ns=(0, self.rng.randrange(10**18)), follow_symlinks=False)

    def set_xattr(self) -> None:
        path = self.existing()
        kind = stat.S_IFMT(os.lstat(path).st_mode)
        name = self.rng.choice(XATTRS if kind in (stat.S_IFREG, stat.S_IFDIR) else [b"trusted.two"])
        if self.rng.random() < 0.3:
            with contextlib.suppress(OSError):  # it has none of that name
                os.removexattr(path, name, follow_symlinks=False)
        else:
            os.setxattr(path, name, self.rng.randbytes(3), follow_symlinks=False)
