"""``module check``, ``show`` and ``remove`` as an operator types them."""

from pathlib import Path
from typing import Any

import pytest

from manager.model.api_modules import ModuleFolder, RemoveArguments, RemoveResult, ShowArguments
from tests.unit.manager.cli.typing_in import CTRL_C, typed

EXAMPLES = Path(__file__).parents[4] / "etc/modules"
TOML = 'name = "db"\n'


class Agent:
    """An agent that has a module ``db``."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.directories: tuple[str, ...] = ("/srv/db",)

    def call(self, arguments: Any, **_: Any) -> Any:
        self.asked.append(arguments)
        if isinstance(arguments, ShowArguments):
            return ModuleFolder("db", 3, "2026-01-01T00:00:00Z", "root", TOML, {"stop_prim": "#!/bin/sh\n"})
        return RemoveResult("db", self.directories)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("directories", "said"),
    [
        (("/srv/db",), "db: removed; /srv/db stays on every node\n"),
        (("/srv/db", "/etc/db"), "db: removed; /srv/db, /etc/db stay on every node\n"),
        ((), "db: removed\n"),
    ],
)
def test_what_stays_is_said_in_the_number_that_it_has(directories: tuple[str, ...], said: str) -> None:
    agent = Agent()
    agent.directories = directories
    assert typed(agent, "module remove db --yes")[1] == said


def test_a_folder_is_checked_without_an_agent(tmp_path: Path) -> None:
    agent = Agent()
    code, said = typed(agent, f"module check {EXAMPLES}/mirror")
    assert code == 0 and "module app is in order: mirror on a, b" in said
    code, said = typed(agent, f"module check {EXAMPLES}/farm")
    assert code == 0 and "module web is in order: farm on a, b" in said
    (tmp_path / "module.toml").write_text('name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectory = "/srv/db"\n')
    code, said = typed(agent, f"module check {tmp_path}")
    assert code == 1 and f"{tmp_path}/module.toml: directory: found an unknown key" in said
    code, said = typed(agent, f"module check {tmp_path}/none")
    assert code == 1 and f"{tmp_path}/none: module.toml: found no such file" in said
    assert agent.asked == []


def test_what_was_applied_is_shown() -> None:
    code, said = typed(Agent(), "module show db")
    assert code == 0 and "generation 3" in said and TOML in said and "# ---- scripts/stop_prim" in said


@pytest.mark.parametrize("answers", [(), ("yes",), ("",), (CTRL_C,)])
def test_nothing_is_removed_without_the_modules_name(answers: tuple[str, ...]) -> None:
    agent = Agent()
    code, said = typed(agent, "module remove db", *answers)
    assert code == 1 and agent.asked == [] and "nothing was removed" in said


@pytest.mark.parametrize(
    ("words", "answers"), [("module remove db --gone b", ("db",)), ("module remove db --gone b --yes", ())]
)
def test_a_module_is_removed_and_its_data_stays(words: str, answers: tuple[str, ...]) -> None:
    agent = Agent()
    code, said = typed(agent, words, *answers)
    assert code == 0 and agent.asked == [RemoveArguments("db", ("b",))] and "/srv/db stays on every node" in said
