"""Classes made of kept bytecode are what they would be without; what is not kept, or of no use, is compiled as ever."""

import subprocess
import sys
from collections.abc import Callable
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from manager import kept_code

_CLASSES = """
from dataclasses import dataclass, field, replace

@dataclass(frozen=True, slots=True, order=True)
class Two:
    a: int
    b: tuple[str, ...] = field(default=("b",), kw_only=True)

one = Two(1)
assert (one, repr(one), hash(one) == hash(Two(1))) == (Two(1, b=("b",)), "Two(a=1, b=('b',))", True)
assert replace(one, a=0) < one and {one} == {Two(1)}
try:
    one.a = 2
except AttributeError as error:
    assert str(error) == "cannot assign to field 'a'", error
else:
    raise AssertionError
"""
_BEGINS = """
import builtins, pathlib, sys
from manager import kept_code

path = pathlib.Path(sys.argv[1])
sys.path.append(str(path.parent))
kept_code.path_of = lambda program: path
compiled = []
builtin = builtins.compile
builtins.compile = lambda source, *rest, **named: (compiled.append(source), builtin(source, *rest, **named))[1]
"""
_ENDS = """
import some_classes
print(sum("__create_fn__" in str(source) for source in compiled))
"""
_USES = "kept_code.use('some')"
_RECORDS = "kept_code.write(path, kept_code.record(('some_classes',)))"


def in_a_program(path: Path, what: str) -> int:
    """How many methods are compiled in a program that first does ``what``, and then has these classes.

    A process of its own: what it does to ``dataclasses`` holds for all that is loaded from then on.
    """
    (path.parent / "some_classes.py").write_text(_CLASSES)
    ran = subprocess.run(
        [sys.executable, "-c", f"{_BEGINS}\n{what}\n{_ENDS}", path],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    return int(ran.stdout)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def test_a_class_is_what_it_was_and_nothing_of_it_is_compiled_again(path: Path) -> None:
    assert in_a_program(path, _RECORDS) > 0
    assert in_a_program(path, _USES) == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"\0" * len(data),
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: bytes([data[0] ^ 1]) + data[1:],
    ],
    ids=["empty", "half", "zeros", "one bit", "another Python's"],
)
def test_what_is_of_no_use_is_as_none(path: Path, spoil: Callable[[bytes], bytes]) -> None:
    kept_code.write(path, {"pass": compile("pass", "<string>", "exec")})
    whole = path.read_bytes()
    assert list(kept_code.read(path)) == ["pass"] and whole.startswith(MAGIC_NUMBER)
    path.write_bytes(spoil(whole))
    assert kept_code.read(path) == {}


def test_one_that_is_not_there_is_as_none(path: Path) -> None:
    assert kept_code.read(path) == {}
    assert in_a_program(path, _USES) > 0


def test_of_a_class_that_changed_only_what_changed_is_compiled(path: Path) -> None:
    in_a_program(path, _RECORDS)
    kept = kept_code.read(path)
    changed = next(source for source in kept if "def __init__" in source)
    kept_code.write(path, {source: code for source, code in kept.items() if source != changed})
    assert in_a_program(path, _USES) == 1
