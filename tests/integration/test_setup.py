"""What a machine lacks is said in one line before anything begins, and nothing is changed."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_AS_NOBODY = (
    "setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups",
    "--inh-caps", "-all,+dac_read_search", "--ambient-caps", "-all,+dac_read_search",
)  # fmt: skip
"""Who may read everything, wherever the checkout is, and change nothing."""
_WITHOUT_CGROUP2 = "awk '$3 == \"cgroup2\" { print $2 }' /proc/mounts | xargs umount -l"


class Copy:
    """``scripts/setup`` in a project of its own, where everybody may read and write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "scripts").mkdir()
        self.script = root / "scripts" / "setup"
        shutil.copy(ROOT / "scripts" / "setup", self.script)
        shutil.copy(ROOT / "pyproject.toml", root)
        for path in (root, root / "scripts"):
            path.chmod(0o777)

    def change(self, old: str, new: str) -> None:
        text = self.script.read_text()
        assert text.count(old) == 1
        self.script.write_text(text.replace(old, new))

    def run(self, **environment: str) -> str:
        """As nobody; what is missing."""
        ran = subprocess.run(
            [self.script], env={"PATH": _PATH} | environment, user=NOBODY, group=NOBODY, extra_groups=[],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (ran.returncode, ran.stdout) == (1, ""), ran
        assert ran.stderr.startswith("setup: missing: ") and ran.stderr.count("\n") == 1, ran.stderr
        return ran.stderr.removeprefix("setup: missing: ").rstrip("\n")


@pytest.fixture
def copy() -> Iterator[Copy]:
    # pytest's own directories are root's alone.
    with tempfile.TemporaryDirectory() as directory:
        yield Copy(Path(directory))


def test_an_environment_of_another_user_is_not_touched(copy: Copy) -> None:
    venv = copy.root / ".venv"
    (venv / "bin").mkdir(parents=True)
    for path in (venv, venv / "bin"):
        path.chmod(0o777)
    (venv / "bin" / "python").symlink_to("/nobody/may/run/this")
    (venv / "bin" / "mirrorfarm").touch()
    assert copy.run() == "root, to renew .venv, which is another user's"
    assert sorted(p.name for p in venv.rglob("*")) == ["bin", "mirrorfarm", "python"]


def test_a_debian_package_wants_root(copy: Copy) -> None:
    copy.change('PACKAGES="', 'PACKAGES="mirrorfarm-no-such-package ')
    assert copy.run() == "root, to install the Debian packages mirrorfarm-no-such-package "
    assert not (copy.root / ".venv").exists()


def test_another_system_than_debian_is_told_so(copy: Copy) -> None:
    programs = copy.root / "bin"
    programs.mkdir(mode=0o755)
    (programs / "dirname").symlink_to(shutil.which("dirname") or "")
    assert copy.run(PATH=str(programs)) == "apt-get: this is for Debian 12 and newer"


def test_without_a_python_that_is_new_enough_none_is_made(copy: Copy) -> None:
    copy.change("|| python=python3", "|| python=/nowhere/python3")
    told = copy.run(PYTHON="/nowhere/else")
    assert told == "Python 3.11 or newer (/nowhere/python3 is not there)"
    assert not (copy.root / ".venv").exists()


def lab_check(*before: str) -> str:
    """What ``mirrorfarm lab check`` says is missing when it is run by ``before``; empty: nothing."""
    ran = subprocess.run(
        [*before, os.path.join(sys.prefix, "bin", "mirrorfarm"), "lab", "check"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.stdout == "" and ran.stderr.count("\n") == ran.returncode, ran
    return ran.stderr.removeprefix("mirrorfarm lab: missing: ").rstrip("\n")


def test_a_machine_that_has_all_is_in_order() -> None:
    assert lab_check() == ""


@pytest.mark.parametrize(
    ("before", "missing"),
    [
        (_AS_NOBODY, "root: the lab makes namespaces and mounts"),
        (
            ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh"),
            "/dev/fuse: No such file or directory (modprobe fuse loop)",
        ),
        (
            ("unshare", "--mount", "sh", "-c", f'{_WITHOUT_CGROUP2} && exec "$@"', "sh"),
            "cgroup2: it is not mounted (mount -t cgroup2 none /sys/fs/cgroup)",
        ),
    ],
    ids=["root", "fuse", "cgroup2"],
)
def test_what_a_lab_lacks_is_said_before_it_begins(before: Sequence[str], missing: str) -> None:
    assert lab_check(*before) == missing
