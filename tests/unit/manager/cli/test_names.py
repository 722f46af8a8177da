"""What a key that is pressed asks of the agent: its names, quickly, and nothing at all where it does not answer."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.calls import Caller, Report
from manager.cli.main import build_parser
from manager.cli.names import _REQUEST, KINDS, names, socket_of
from manager.cli.pages import BASH, ZSH, pages
from manager.model.api import NodeInfo, NodeInfoArguments
from manager.model.api_lines import read_request
from tests.support.majority import hold_mostly
from tests.unit.agent.test_local_api import Agent

PROGRAMS = Path(sys.executable).parent
LONG_S = 5.0
"""A machine that is busy with other things may be that slow."""
TIMES = 5
"""Now and then it needs longer than an operator is kept waiting: nothing is completed then."""


async def node_info(arguments: NodeInfoArguments, caller: Caller, report: Report) -> NodeInfo:
    return NodeInfo("c", "a", "1", True, (), ("db", "web", "$(touch /tmp/x)"), ("b", "a"))


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(str(tmp_path / "agent.sock"), {"node.info": node_info})
    yield agent
    agent.close()


def test_an_agent_is_asked_what_it_understands() -> None:
    request, arguments = read_request(_REQUEST)
    assert (request.call, request.node, arguments) == ("node.info", "", NodeInfoArguments())
    assert set(KINDS.values()) <= set(NodeInfo.__slots__)


def test_its_names_are_told_and_nothing_that_a_shell_would_run(agent: Agent) -> None:
    assert names("modules", agent.path, LONG_S) == ["db", "web"]
    assert names("nodes", agent.path, LONG_S) == ["a", "b"]


class Listener:
    """In an agent's place: says ``answer`` to who has connected, and leaves the connection open; or says nothing."""

    def __init__(self, path: str, answer: bytes | None) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(path)
        self.socket.listen(0)
        self.taken: list[socket.socket] = []
        if answer is not None:
            threading.Thread(target=self._answer, args=(answer,), daemon=True).start()

    def _answer(self, answer: bytes) -> None:
        connection, _ = self.socket.accept()
        self.taken.append(connection)
        connection.sendall(answer)

    def close(self) -> None:
        for one in (self.socket, *self.taken):
            one.close()


@pytest.mark.parametrize(
    "answer",
    [None, b"", b'{"id": 1, "result": {"modules"', b"{}\n", b"[]\n", b'{"result": {"modules": [1]}}\n', b"\xff\n"],
)
def test_one_that_does_not_answer_or_says_something_else_has_no_names(tmp_path: Path, answer: bytes | None) -> None:
    listener = Listener(str(tmp_path / "s"), answer)
    begun = time.monotonic()
    assert names("modules", str(tmp_path / "s"), 0.2) == []
    assert time.monotonic() - begun < LONG_S
    listener.close()


def test_where_there_is_none_or_it_takes_nobody_in_there_are_no_names(tmp_path: Path) -> None:
    assert names("nodes", str(tmp_path / "none")) == []
    listener, path = Listener(str(tmp_path / "s"), None), str(tmp_path / "s")
    crowd = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(3)]
    for one in crowd:
        one.connect_ex(path)
    assert names("nodes", path, 0.1) == []
    for one in crowd:
        one.close()
    listener.close()


@pytest.mark.parametrize("words", [["nodes"], [], ["kings"], ["modules", "--config", "/none", "--socket"]])
def test_it_is_quiet(words: list[str]) -> None:
    command = [sys.executable, "-I", "-m", "manager.cli.names", *words, "--socket", "/none"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_it_loads_nothing_that_takes_long() -> None:
    script = (
        "import sys, manager.cli.names as n; print(*(m for m in sys.modules if m.startswith(('manager.', 'rich'))))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["manager.cli", "manager.cli.names"]


def test_the_socket_is_that_of_the_line_that_is_typed(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('cluster = "c"\n[paths]\nrun = "/elsewhere"\n')
    assert socket_of(["mirrorfarm", "--config", str(config), "why", ""]) == "/elsewhere/agent.sock"
    assert socket_of(["mirrorfarm", "--config", str(config), "--socket", "/s", "why", ""]) == "/s"
    config.write_text("[paths")
    assert socket_of(["mirrorfarm", "--config", str(config)]) == "/run/mirrorfarm/agent.sock"


@pytest.fixture(scope="module")
def completions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    share = tmp_path_factory.mktemp("share")
    for name, text in pages(build_parser(with_lab=False)).items():
        (share / name).parent.mkdir(parents=True)
        (share / name).write_text(text)
    return share


def shell(*argv: str | Path) -> str:
    environment = {"PATH": f"{PROGRAMS}:/usr/bin:/bin"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("why d", "db"), ("boot on -m w", "web"), ("why db --node ", "a b"), ("--node b", "b"), ("prim db --yes ", "")],
)
def test_bash_completes_them(completions: Path, agent: Agent, typed: str, completed: str) -> None:
    script = """
        . "$1"; cd /
        COMP_WORDS=(mirrorfarm --socket "$2" $3 "$4"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _shtab_mirrorfarm; echo "${COMPREPLY[@]}"
    """
    before, _, last = typed.rpartition(" ")
    argv = ("bash", "-c", script, "bash", completions / BASH, agent.path, before, last)
    found = hold_mostly(lambda: shell(*argv).strip(), lambda words: words == completed, TIMES)
    assert set(found) <= {completed, ""}, found


def test_zsh_is_given_them(completions: Path, agent: Agent) -> None:
    script = """
        compdef() {}; compadd() { print -- "$@": $found }; eval "$(<$1)"
        words=(mirrorfarm --socket $2 why); _mirrorfarm_modules -J x; _mirrorfarm_nodes
    """
    argv = ("zsh", "-f", "-c", script, "zsh", completions / ZSH, agent.path)
    hold_mostly(lambda: shell(*argv), lambda said: said == "-J x -a found: db web\n-a found: a b\n", TIMES)


def test_where_nothing_is_installed_a_shell_completes_nothing_and_says_nothing(completions: Path) -> None:
    script = '. "$1"; PATH=/usr/bin:/bin; _mirrorfarm_modules d || true'
    assert shell("bash", "-c", script, "bash", completions / BASH) == ""
