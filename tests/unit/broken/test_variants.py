"""Every variant of the shell is noticed by its test, which passes with the shell that is shipped."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.broken import ALL, VARIANTS, table
from tests.unit.broken.variant import ROOT

Outcomes = Mapping[str, Mapping[str, list[str]]]
CUT = {name: variant for name, variant in VARIANTS.items() if variant.cuts}
NOTICED = [name for name, variant in CUT.items() if not variant.redundant]
REDUNDANT = [name for name, variant in CUT.items() if variant.redundant]
pytestmark = pytest.mark.timeout(300)  # Of them all, on a machine that has much else to do; alone it takes 15 s.
TESTS = sorted({f"{variant.file}::{variant.test}" for variant in CUT.values()})


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Of all of them, in one process."""
    path = tmp_path_factory.mktemp("broken") / "outcomes"
    options = ["-q", "--tb=short", "-p", "tests.unit.broken.plugin", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [sys.executable, "-m", "pytest", *options, f"--outcomes={path}", *TESTS]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert path.exists(), ran.stdout + ran.stderr
    found: Outcomes = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", NOTICED)
def test_a_broken_shell_is_noticed(name: str, outcomes: Outcomes) -> None:
    found = outcomes[name]
    assert found["broken"] == [], "that is no assertion of the test's"
    assert found["noticed"], f"not noticed by {CUT[name].noticed_by}: {CUT[name].what}"


@pytest.mark.parametrize("name", REDUNDANT)
def test_what_is_said_to_be_redundant_is_not_noticed(name: str, outcomes: Outcomes) -> None:
    found = outcomes[name]
    assert found["passed"] and found["noticed"] == found["broken"] == []


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.split("::")[1])
def test_the_shipped_shell_passes(test: str, outcomes: Outcomes) -> None:
    found = outcomes[test]
    assert found["passed"] and found["noticed"] == found["broken"] == []


@pytest.mark.parametrize("name", sorted(set(VARIANTS) - set(CUT)))
def test_what_an_integration_test_alone_can_notice_has_one(name: str) -> None:
    variant = VARIANTS[name]
    assert Path("tests/integration") in variant.file.relative_to(ROOT).parents
    assert f"def {variant.test}(" in variant.file.read_text(encoding="utf-8")


def test_each_has_a_name_of_its_own() -> None:
    assert len(VARIANTS) == len(ALL)


def test_the_table_in_the_documents_is_made_of_them() -> None:
    assert table.found() == table.made(), "python -m tests.unit.broken"
