"""docs/farm.md says what a farm's module.toml may say: its example is read, its keys and scripts are the code's."""

import re
import tomllib
from pathlib import Path

from manager.config_files import load_module_folder
from manager.model.config.application_config import SCRIPTS
from manager.model.config.parse_farm import LEAST_NODES, MOST_ADDRESSES
from manager.model.config.parse_rules import MOST_RULES
from manager.model.farm import MOST_NODES
from manager.model.states import ModuleKind
from tests.support.configurations import farm

_ROOT = Path(__file__).parents[2]
_DOCUMENT = (_ROOT / "docs" / "farm.md").read_text(encoding="utf-8")
_COMMENTED_KEY = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)


def first_column(begin: str) -> list[str]:
    """The words in the first column of the table whose head begins with ``begin``."""
    rows = _DOCUMENT.partition(f"\n{begin}")[2].partition("\n\n")[0].splitlines()[2:]
    return [row.split("`")[1].strip("[]") for row in rows]


def test_the_least_module_is_one() -> None:
    lines = _DOCUMENT.partition("needs nothing more:\n")[2].partition("`etc/")[0].splitlines()
    assert farm("\n".join(line.removeprefix("    ") for line in lines)).nodes == ("a", "b")


def test_the_keys_are_those_of_the_example() -> None:
    toml, _ = load_module_folder(_ROOT / "etc" / "modules" / "farm")
    shown = tomllib.loads(_COMMENTED_KEY.sub("", toml))
    keys = [*shown, *shown["address"][0], *shown["rule"][0]]
    assert sorted(first_column("| key")) == sorted(keys)


def test_the_scripts_are_those_that_are_run() -> None:
    assert first_column("| script") == list(SCRIPTS[ModuleKind.FARM])


def test_the_bounds_are_the_codes() -> None:
    assert (LEAST_NODES, MOST_NODES, MOST_ADDRESSES, MOST_RULES) == (2, 16, 16, 64)
    for said in ("two to sixteen nodes", "one to sixteen of them", "one to 64 of them"):
        assert said in _DOCUMENT
