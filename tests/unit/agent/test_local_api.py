"""The agent's socket and the CLI's client, each against the other over a real Unix socket."""

import asyncio
import contextlib
import grp
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.calls import Caller, Calls, Forward, Handler, Report
from agent.adapters.local_api import MAX_CALLS, MAX_CONNECTIONS, LocalApi, LocalCaller
from manager.cli.client import AgentClient, Interrupted
from manager.model import api_lines
from manager.model.api import ApiError, ErrorKind, NodeInfo, NodeInfoArguments, StateArguments
from manager.model.api_calls import CALLS
from manager.model.api_lines import MAX_REQUEST_BYTES, request_line
from manager.model.api_log_files import LogsArguments, LogsResult, LogText
from manager.model.api_log_levels import LogLevelsArguments
from manager.model.api_modules import ApplyArguments, ModuleFolder, ShowArguments
from manager.model.api_requests import Action, HistoryArguments, RequestArguments, RequestProgress, RequestResult
from manager.model.errors import ConfigError, DefiniteFailure, IndefiniteFailure

GROUP = grp.getgrgid(os.getegid()).gr_name


async def node_info(arguments: NodeInfoArguments, caller: Caller, report: Report) -> NodeInfo:
    return NodeInfo("c", "a", caller.name, True, ())


async def show(arguments: ShowArguments, caller: Caller, report: Report) -> ModuleFolder:
    return ModuleFolder(arguments.module, 1, "", "", "schön \udcff\n" + "x" * 300_000, {})


async def logs(arguments: LogsArguments, caller: Caller, report: Report) -> LogsResult:
    for number in range(arguments.lines):
        await report(LogText("f", f"line {number}\n"))
    return LogsResult("f", ())


async def refuse(arguments: StateArguments, caller: Caller, report: Report) -> None:
    raise ApiError(ErrorKind.REFUSED, "no", meaning="nothing changed", remedy="ask better", reason="busy")


class Agent:
    """A server on a loop of its own, in a thread, as the blocking client needs it."""

    def __init__(self, path: str, handlers: dict[str, Handler], forward: Forward | None = None) -> None:
        self.path = path
        self.failures: list[tuple[str, Exception]] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        calls = Calls("a", handlers, lambda call, error: self.failures.append((call, error)), forward)
        self.api = LocalApi(calls, GROUP)
        self.run(self.api.listen(path))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close(self) -> None:
        self.run(self.api.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[dict[str, Handler]], Agent]]:
    agents = []

    def go(handlers: dict[str, Handler]) -> Agent:
        agents.append(Agent(str(tmp_path / "agent.sock"), handlers))
        return agents[-1]

    yield go
    for agent in agents:
        agent.close()


def raw(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(path)
    return connection


def read_line(connection: socket.socket) -> Any:
    return json.loads(connection.makefile("rb").readline())


def test_a_call_is_answered_with_who_asked(start: Callable[[dict[str, Handler]], Agent]) -> None:
    client = AgentClient(start({"node.info": node_info}).path)
    for _ in range(3):
        assert client.call(NodeInfoArguments()).software == LocalCaller(os.geteuid(), 0, frozenset()).name
    client.close()


def test_a_long_text_that_is_not_utf8_comes_through(start: Callable[[dict[str, Handler]], Agent]) -> None:
    client = AgentClient(start({"module.show": show}).path)
    assert client.call(ShowArguments("db")).toml.startswith("schön \udcff\n")
    client.close()


def test_progress_comes_in_order_before_the_result(start: Callable[[dict[str, Handler]], Agent]) -> None:
    client = AgentClient(start({"logs": logs}).path)
    texts: list[str] = []
    result = client.call(LogsArguments("db", lines=500), on_progress=lambda p: texts.append(p.text))
    assert texts == [f"line {n}\n" for n in range(500)]
    assert result == LogsResult("f", ())
    client.close()


def test_an_error_comes_with_its_meaning_remedy_and_reason(start: Callable[[dict[str, Handler]], Agent]) -> None:
    client = AgentClient(start({"state": refuse}).path)
    with pytest.raises(ApiError) as caught:
        client.call(StateArguments())
    error = caught.value
    assert (error.kind, error.message, error.meaning, error.remedy, error.reason) == (
        ErrorKind.REFUSED,
        "no",
        "nothing changed",
        "ask better",
        "busy",
    )
    client.close()


@pytest.mark.parametrize(
    ("raised", "kind", "reported"),
    [
        (DefiniteFailure("refused"), ErrorKind.STORE_UNREACHABLE, False),
        (IndefiniteFailure("deadline"), ErrorKind.OUTCOME_UNKNOWN, False),
        (ZeroDivisionError("oops"), ErrorKind.INTERNAL, True),
    ],
)
def test_what_a_handler_raises_is_told_apart(
    start: Callable[[dict[str, Handler]], Agent], raised: Exception, kind: ErrorKind, reported: bool
) -> None:
    async def fail(arguments: StateArguments, caller: Caller, report: Report) -> None:
        raise raised

    agent = start({"state": fail, "node.info": node_info})
    client = AgentClient(agent.path)
    with pytest.raises(ApiError) as caught:
        client.call(StateArguments())
    assert caught.value.kind is kind
    assert caught.value.remedy
    assert [call for call, _ in agent.failures] == (["state"] if reported else [])
    assert client.call(NodeInfoArguments()).node == "a", "the connection goes on"
    client.close()


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[]\n",
        b'{"id": 7}\n',
        b'{"id": 7, "call": "nonsense"}\n',
        b'{"id": 7, "call": "history", "arguments": {"limit": 3}}\n',
        b'{"id": 7, "call": "history", "arguments": {"module": 3}}\n',
        b'{"id": "x", "call": "history"}\n',
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_garbage_is_refused_and_the_connection_goes_on(
    start: Callable[[dict[str, Handler]], Agent], line: bytes
) -> None:
    connection = raw(start({"node.info": node_info}).path)
    connection.sendall(line)
    assert read_line(connection)["error"]["kind"] == "bad_request"
    connection.sendall(request_line(8, NodeInfoArguments()))
    assert read_line(connection)["id"] == 8
    connection.close()


def test_a_call_without_a_handler_is_refused(start: Callable[[dict[str, Handler]], Agent]) -> None:
    client = AgentClient(start({}).path)
    with pytest.raises(ApiError) as caught:
        client.call(HistoryArguments("db"))
    assert caught.value.kind is ErrorKind.BAD_REQUEST
    client.close()


def test_a_call_for_another_node_is_handed_on_with_who_asks_and_one_for_this_node_is_not(tmp_path: Path) -> None:
    async def forward(node: str, arguments: Any, caller: Caller, report: Report) -> Any:
        if node == "c":
            raise ApiError(ErrorKind.UNREACHABLE, "node c: no answer within 2 s.")
        await report(LogText("f", f"{arguments.module} for {caller.name}"))
        return LogsResult(f"of {node}", ())

    agent = Agent(str(tmp_path / "agent.sock"), {"logs": logs}, forward)
    try:
        client = AgentClient(agent.path, node="b")
        texts: list[str] = []
        assert client.call(LogsArguments("db"), on_progress=lambda p: texts.append(p.text)) == LogsResult("of b", ())
        assert texts == [f"db for {LocalCaller(os.geteuid(), 0, frozenset()).name}"]
        assert client.call(LogsArguments("db"), node="a") == LogsResult("f", ()), "its own"
        with pytest.raises(ApiError, match="node c: no answer within 2 s") as caught:
            client.call(LogsArguments("db"), node="c")
        assert caught.value.kind is ErrorKind.UNREACHABLE
        client.close()
    finally:
        agent.close()


def test_an_agent_that_hands_nothing_on_does_not_take_a_call_for_its_own(
    start: Callable[[dict[str, Handler]], Agent],
) -> None:
    """It may be of a release that ignores the node that is named: what it sees is a call that it does not know."""
    line = json.loads(request_line(1, RequestArguments("db", Action.SWAP), "b"))
    assert (line["call"], line["node"]) == ("at:request", "b")
    connection = raw(start({"request": refuse}).path)
    for node, call in (("", "at:request"), ("b", "request")):
        connection.sendall(json.dumps({**line, "node": node, "call": call}).encode() + b"\n")
        assert read_line(connection)["error"]["kind"] == "bad_request"
    connection.close()


def interrupt(_progress: Any) -> None:
    raise KeyboardInterrupt


def test_who_gives_up_a_request_is_told_what_has_become_of_it(start: Callable[[dict[str, Handler]], Agent]) -> None:
    async def request(arguments: RequestArguments, caller: Caller, report: Report) -> RequestResult:
        await report(RequestProgress("pending"))
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if arguments.node == "b":
                raise ApiError(ErrorKind.TIMED_OUT, "it was withdrawn") from None
        return RequestResult("1", "a", "done")

    said: list[str] = []
    client = AgentClient(start({"request": request, "node.info": node_info}).path, said.append)
    with pytest.raises(ApiError, match="it was withdrawn"):
        client.call(RequestArguments("db", Action.SWAP, "b"), on_progress=interrupt)
    assert client.call(RequestArguments("db", Action.SWAP, "a"), on_progress=interrupt).status == "done"
    assert [line.startswith("mirrorfarm: given up; ") for line in said] == [True, True]
    assert client.call(NodeInfoArguments()).node == "a", "by a new connection"
    client.close()


def test_who_gives_up_is_not_told_what_is_not_known(start: Callable[[dict[str, Handler]], Agent]) -> None:
    async def request(arguments: RequestArguments, caller: Caller, report: Report) -> RequestResult:
        await report(RequestProgress("pending"))
        await asyncio.sleep(60)
        raise AssertionError("cancelled")

    client = AgentClient(start({"request": request, "logs": logs}).path)
    with pytest.raises(Interrupted) as caught:
        client.call(RequestArguments("db", Action.SWAP), on_progress=interrupt)
    assert caught.value.call == "request"
    with pytest.raises(Interrupted) as caught:
        client.call(LogsArguments("db", lines=5), on_progress=interrupt)
    assert caught.value.call == "logs"
    client.close()


def test_a_line_that_is_too_long_ends_the_connection_with_the_reason(
    start: Callable[[dict[str, Handler]], Agent],
) -> None:
    agent = start({"node.info": node_info})
    client = AgentClient(agent.path)
    with pytest.raises(ApiError) as caught:
        client.call(ApplyArguments("x" * (MAX_REQUEST_BYTES + 1), {}))
    assert caught.value.kind is ErrorKind.BAD_REQUEST
    assert "512 KiB" in caught.value.remedy
    client.close()
    assert client.call(NodeInfoArguments()).node == "a", "a new connection is made"
    client.close()


def test_connections_are_bounded(start: Callable[[dict[str, Handler]], Agent]) -> None:
    agent = start({"node.info": node_info})
    held = [raw(agent.path) for _ in range(MAX_CONNECTIONS)]
    for connection in held:
        connection.sendall(request_line(1, NodeInfoArguments()))
        read_line(connection)
    one_more = raw(agent.path)
    assert read_line(one_more)["error"]["kind"] == "busy"
    assert one_more.recv(1) == b""
    for connection in (*held, one_more):
        connection.close()
    client = AgentClient(agent.path)
    for _ in range(100):
        try:
            client.call(NodeInfoArguments())
            break
        except ApiError as error:
            assert error.kind is ErrorKind.BUSY
            client.close()
    client.close()


def test_calls_on_one_connection_are_bounded_and_end_with_it(
    start: Callable[[dict[str, Handler]], Agent],
) -> None:
    ended: list[int] = []
    done = threading.Event()

    async def hang(arguments: StateArguments, caller: Caller, report: Report) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)
            if len(ended) == MAX_CALLS:
                done.set()

    agent = start({"state": hang})
    connection = raw(agent.path)
    for number in range(MAX_CALLS + 1):
        connection.sendall(request_line(number, StateArguments()))
    answer = read_line(connection)
    assert (answer["id"], answer["error"]["kind"]) == (MAX_CALLS, "busy")
    connection.close()
    assert done.wait(10)


def test_a_client_that_reads_nothing_holds_its_handler_back(start: Callable[[dict[str, Handler]], Agent]) -> None:
    sent: list[int] = []

    async def flood(arguments: LogsArguments, caller: Caller, report: Report) -> None:
        while True:
            await report(LogText("f", "x" * 65536))
            sent.append(1)

    agent = start({"logs": flood, "node.info": node_info})
    connection = raw(agent.path)
    connection.sendall(request_line(1, LogsArguments("db")))
    other = AgentClient(agent.path)
    for _ in range(50):
        other.call(NodeInfoArguments())
    assert len(sent) < 50
    connection.close()
    other.close()


def test_the_socket_is_the_groups_and_is_taken_away(start: Callable[[dict[str, Handler]], Agent]) -> None:
    agent = start({})
    status = os.stat(agent.path)
    assert (status.st_mode & 0o777, status.st_gid) == (0o660, os.getegid())
    agent.run(agent.api.close())
    assert not os.path.exists(agent.path)


def test_a_socket_left_behind_is_replaced(start: Callable[[dict[str, Handler]], Agent], tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "agent.sock"))
    left.close()
    client = AgentClient(start({"node.info": node_info}).path)
    assert client.call(NodeInfoArguments()).node == "a"
    client.close()


def test_an_unknown_group_is_a_wrong_configuration() -> None:
    with pytest.raises(ConfigError, match="no group 'nosuchgroup'"):
        LocalApi(Calls("a", {}, lambda call, error: None), "nosuchgroup")


def _ask_as(path: str, uid: int, gid: int, groups: list[int]) -> bytes:
    """What the agent says to a process of that user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(10)
            connection.connect(path)
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(request_line(1, NodeInfoArguments()))
            os.write(writing, connection.makefile("rb").readline())
        except OSError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return answer


def test_others_may_not_and_the_groups_members_may() -> None:
    """Even where the file's mode would let them in: the kernel says who asks."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = f"{folder}/agent.sock"
        agent = Agent(path, {"node.info": node_info})
        os.chmod(path, 0o666)
        try:
            assert json.loads(_ask_as(path, 65534, 65534, []))["error"]["kind"] == "forbidden"
            assert json.loads(_ask_as(path, 65534, 65534, [os.getegid()]))["result"]["node"] == "a"
            assert json.loads(_ask_as(path, 65534, os.getegid(), []))["result"]["node"] == "a"
            many = list(range(5000, 5300))
            assert json.loads(_ask_as(path, 65534, os.getegid(), many))["result"]["node"] == "a"
            assert json.loads(_ask_as(path, 65534, 65534, many))["error"]["kind"] == "forbidden"
        finally:
            agent.close()


def test_no_agent_is_said_with_what_to_do(tmp_path: Path) -> None:
    client = AgentClient(str(tmp_path / "none.sock"))
    with pytest.raises(ApiError) as caught:
        client.call(NodeInfoArguments())
    assert caught.value.kind is ErrorKind.UNREACHABLE
    assert "mirrorfarm-agent start" in caught.value.remedy


def test_an_agent_that_does_not_answer_in_time(start: Callable[[dict[str, Handler]], Agent]) -> None:
    async def hang(arguments: StateArguments, caller: Caller, report: Report) -> None:
        await asyncio.Event().wait()

    client = AgentClient(start({"state": hang}).path)
    with pytest.raises(ApiError) as caught:
        client.call(StateArguments(), timeout_s=0.05)
    assert caught.value.kind is ErrorKind.TIMED_OUT
    client.close()


def test_an_agent_that_ends_meanwhile_is_unreachable(start: Callable[[dict[str, Handler]], Agent]) -> None:
    begun = threading.Event()

    async def hang(arguments: StateArguments, caller: Caller, report: Report) -> None:
        begun.set()
        await asyncio.Event().wait()

    agent = start({"state": hang})
    client = AgentClient(agent.path)

    def end() -> None:
        begun.wait(10)
        agent.run(agent.api.close())

    ender = threading.Thread(target=end)
    ender.start()
    with pytest.raises(ApiError) as caught:
        client.call(StateArguments())
    assert caught.value.kind is ErrorKind.UNREACHABLE
    ender.join()
    client.close()


@pytest.mark.parametrize("node", ["", "b"])
def test_an_agent_of_a_former_release_that_does_not_know_a_call_is_named_as_that(
    start: Callable[[dict[str, Handler]], Agent], node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is what it says of a call that it has never heard of: the name is taken out of what it knows."""
    agent = start({"node.info": node_info})
    monkeypatch.setattr(api_lines, "CALLS", {name: kinds for name, kinds in CALLS.items() if name != "log.levels"})
    with contextlib.closing(AgentClient(agent.path, node=node)) as client, pytest.raises(ApiError) as told:
        client.call(LogLevelsArguments())
    assert told.value.message == (
        "The agent does not know the call log.levels: its release is older than that of this command."
    )
    assert told.value.kind is ErrorKind.BAD_REQUEST and told.value.meaning == "Nothing was changed."
    assert "upgrade" in told.value.remedy
