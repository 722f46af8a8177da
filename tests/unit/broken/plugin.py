"""For a pytest of its own: each test that is to notice something runs whole, and once with each variant.

What came of it goes to the file that ``--outcomes`` names. A test that waits in vain waits less long with a variant.
"""

import json
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.unit.broken import VARIANTS
from tests.unit.broken.variant import broken
from tests.unit.replicator import loops

WHOLE = "whole"
_TURNS = 300
_WITHIN_S = 0.7
_variant: pytest.StashKey[str] = pytest.StashKey()
_found: dict[str, dict[str, list[str]]] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", required=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    test = f"{metafunc.definition.path}::{metafunc.function.__name__}"
    names = [v.name for v in VARIANTS.values() if v.cuts and f"{v.file}::{v.test}" == test]
    metafunc.parametrize("_shell", [WHOLE, *names], indirect=True)


@pytest.fixture(autouse=True)
def _shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    name = request.param
    request.node.stash[_variant] = name
    if name == WHOLE:
        yield
        return
    monkeypatch.setattr(loops, "_TURNS", _TURNS)
    monkeypatch.setattr(request.module, "_WITHIN", _WITHIN_S, raising=False)
    with broken(VARIANTS[name].cuts):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    name = item.stash.get(_variant, "none")
    key = name if name != WHOLE else f"{item.path}::{item.name.split('[')[0]}"
    outcomes = _found.setdefault(key, {"passed": [], "noticed": [], "broken": []})
    if call.excinfo is None:
        if call.when == "call":
            outcomes["passed"].append(item.name)
    elif call.when == "call" and call.excinfo.errisinstance((AssertionError, pytest.fail.Exception)):
        outcomes["noticed"].append(f"{item.name}: {call.excinfo.exconly()}")
    elif call.when != "teardown" or name == WHOLE:  # What a variant leaves behind is found at the end, and no proof.
        outcomes["broken"].append(f"{item.name}, {call.when}: {call.excinfo.exconly()}")
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    Path(session.config.getoption("--outcomes")).write_text(json.dumps(_found), encoding="utf-8")
