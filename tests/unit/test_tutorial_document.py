"""docs/tutorial.md is a page that can be typed: its blocks are understood, and so is each of its commands by ours.

That they do what the page says is tests/integration/lab/test_tutorial.py's business.
"""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from manager.cli.main import build_parser
from manager.model.config import parse_agent_config, parse_module
from tests.support.page import Command, steps_of

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "tutorial.md").read_text()
STEPS = steps_of(TEXT)
OURS = [step for step in STEPS if isinstance(step, Command) and step.text.startswith("mirrorfarm ")]
WRITTEN = {
    (step.machine, step.written[0]): step.written[1] for step in STEPS if isinstance(step, Command) and step.written
}


@pytest.mark.parametrize("step", OURS, ids=lambda step: f"line {step.line}")
def test_each_command_is_understood(step: Command) -> None:
    build_parser(with_lab=False).parse_args(shlex.split(step.text)[1:])


def test_what_is_written_is_in_order() -> None:
    for node in ("alpha", "beta"):
        config = parse_agent_config(WRITTEN[node, "/etc/mirrorfarm/agent.toml"], "agent.toml")
        assert (config.cluster, config.node) == ("main", node)
    scripts = {
        path.rpartition("/")[2]: text for (_, path), text in WRITTEN.items() if path.startswith("guestbook/scripts/")
    }
    assert scripts.keys() == {"start_prim", "stop_prim"}
    guestbook = parse_module(WRITTEN["alpha", "guestbook/module.toml"], scripts)
    assert guestbook.nodes == ("alpha", "beta")
    assert tomllib.loads(WRITTEN["alpha", "guestbook/module.toml"])["env"] == {"ADDRESS": "10.77.0.101"}
    compile(WRITTEN["alpha", "/srv/guestbook/server.py"], "server.py", "exec")


def test_each_link_leads_somewhere() -> None:
    for file, heading in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", TEXT):
        page = (DOCS / (file or "tutorial.md")).read_text()
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in page.splitlines()
            if line.startswith("#")
        }
        assert not heading or heading in headings, (file, heading)
