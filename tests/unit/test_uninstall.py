"""``uninstall`` shows what is nowhere else before it deletes it, and asks; in a root made for it."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/uninstall"
WORDS = ("config", "logs", "state")
FILES = (
    "opt/mirrorfarm/bin/mirrorfarm", "etc/mirrorfarm/agent.toml", "etc/mirrorfarm/pki/authority/authority.key",
    "etc/default/mirrorfarm", "var/log/mirrorfarm/agent.log", "var/lib/mirrorfarm/lease.json",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# nothing\n")
    return tmp_path


def uninstall(root: Path, *words: str, answer: str | None = None) -> subprocess.CompletedProcess[str]:
    """``answer``: ``None``: nobody is there."""
    return subprocess.run(
        [SCRIPT, "--root", root, *words], input=answer or "", capture_output=True, text=True, timeout=60, check=False
    )


def there(root: Path) -> list[str]:
    return [name for name in FILES if (root / name).exists()]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("answer", [None, "\n", "no\n", "y\n"])
def test_what_is_nowhere_else_is_not_deleted_unless_it_was_agreed_to(root: Path, word: str, answer: str | None) -> None:
    ran = uninstall(root, word, answer=answer)
    assert ran.returncode == 1 and there(root) == list(FILES)
    assert "will be deleted" in ran.stderr and "nothing was removed (--yes does not ask)" in ran.stderr
    assert ("the key of the cluster's authority" in ran.stderr) is (word == "config")


@pytest.mark.parametrize(("yes", "answer"), [((), "yes\n"), (("--yes",), None)])
def test_once_agreed_to_it_is_deleted_and_was_shown(root: Path, yes: tuple[str, ...], answer: str | None) -> None:
    ran = uninstall(root, *yes, *WORDS, answer=answer)
    assert ran.returncode == 0, ran.stderr
    assert not there(root) and ran.stderr.count("will be deleted") == 5


def test_without_a_word_nothing_is_lost_and_nothing_is_asked(root: Path) -> None:
    ran = uninstall(root)
    assert ran.returncode == 0 and there(root) == list(FILES[1:]) and "Type yes" not in ran.stderr


def test_what_cannot_be_read_of_the_agents_place_is_said_and_nothing_is_removed(root: Path) -> None:
    (root / "etc/default/mirrorfarm").write_text("mirrorfarm-has-no-such-program\n")
    ran = uninstall(root, "--yes", *WORDS)
    assert ran.returncode == 1 and "etc/default/mirrorfarm is no shell's text" in ran.stderr
    assert there(root) == list(FILES)
