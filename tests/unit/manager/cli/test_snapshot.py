"""A snapshot, made by the command itself, of a node's own files and by agents: opened, and looked through."""

import asyncio
import contextlib
import gc
import gzip
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.calls import Caller, Handler, Report
from agent.adapters.snapshot_program import SnapshotProgram
from agent.runtime.colleagues import Nobody
from agent.runtime.handlers_snapshot import SnapshotHandlers
from agent.runtime.handlers_state import StateHandlers
from manager.cli.commands.snapshot import RIGHTS
from manager.cli.snapshot.archive import Archive, new_file
from manager.cli.snapshot.collector import Collector
from manager.cli.snapshot.lacking import Lacking
from manager.cli.snapshot.logs import Logs
from manager.cli.snapshot.merging import merge
from manager.model.api import ApiError, ErrorKind, NodeInfo, NodeInfoArguments
from manager.model.api_snapshot import SnapshotArguments
from manager.model.codec import encode
from manager.model.errors import ConfigError
from manager.model.records import ModuleConfigRecord
from tests.support.process_status import mask, rights_of
from tests.unit.agent.runtime.bench import KEYS, Bench, toml
from tests.unit.agent.test_local_api import Agent

COMMAND = (sys.executable, "-m", "manager.cli.main")
SECRET = "zebra"
"""Planted wherever a file of a node may hold one."""
FENCE = f"#!/bin/sh\nipmitool -H bmc -U admin -P {SECRET}-1 chassis power off\nexport PGPASSWORD={SECRET}-2\n"
MODULE = toml(more=f'[env]\nDB_PASSWORD = "{SECRET}-3"\nURL = "postgres://app:{SECRET}-4@10.0.0.1/db"\nPORT = "5432"\n')
RECORD = ModuleConfigRecord("m", 3, MODULE, {"fence": FENCE}, "then", "root")


class Node:
    """The files of one, below a directory of its own."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.config = root, root / "agent.toml"
        run, log, pki = root / "run", root / "log", root / "pki"
        # As where nothing can be executed in /run.
        scripts = root / "state" / "scripts" / "db"
        for folder in (run / "db", scripts, log / "db", pki):
            folder.mkdir(parents=True)
        self.config.write_text(
            f'cluster = "c"\nnode = "{name}"\n# password = "{SECRET}-5"\n[etcd]\nendpoints = ["127.0.0.1:1"]\n'
            f'[paths]\nrun = "{run}"\nlog = "{log}"\nstate = "{root}/state"\n[tls]\ndirectory = "{pki}"\n'
        )
        (pki / "node.key").write_text(f"-----BEGIN PRIVATE KEY-----\n{SECRET}6\n-----END PRIVATE KEY-----\n")
        (run / "db" / "config.json").write_text(encode(RECORD))
        (scripts / "fence").write_text(FENCE)
        (run / "db" / "elsewhere").symlink_to(pki / "node.key")
        (log / "agent.log").write_text(json.dumps({"event": "script.ended", "detail": f"token={SECRET}-7"}) + "\n")
        (log / "db" / "replicator.log").write_text('{"event": "replicator.started"}\n')
        (log / "db" / "fence.1.log").write_text(f"# fence\n{FENCE}Authorization: Bearer {SECRET}-8\nit is off\n")
        (log / "db" / "link.2.log").symlink_to(pki / "node.key")

    def ask(self, *words: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[bytes]":
        command = [*COMMAND, "--config", str(self.config), "snapshot", *words]
        ran = subprocess.run(command, capture_output=True, timeout=100, cwd=cwd or self.root)
        assert b"Traceback" not in ran.stderr, ran.stderr
        return ran


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name, as a socket's path has to have."""
    path = Path(tempfile.mkdtemp(prefix="mf-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def node(short: Path) -> Node:
    return Node(short / "a", "a")


def opened(content: bytes) -> dict[str, str]:
    """The files in a snapshot, by their names below its folder."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        for member in tar:
            assert member.isreg() and member.mode == 0o600
            file = tar.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read().decode()
    return found


def test_of_a_node_whose_agent_and_etcd_are_gone_there_are_its_files_and_checks_and_no_secret(node: Node) -> None:
    ran = node.ask("--output", "x.tar.gz")
    assert ran.returncode == 0, ran.stderr
    made = node.root / "x.tar.gz"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert ran.stdout.decode().strip() == str(made)
    assert not list(node.root.glob(".*")), "nothing is left beside it"
    found = opened(made.read_bytes())
    assert not [name for name, text in found.items() if SECRET in text]
    own = {name.removeprefix("nodes/a/"): text for name, text in found.items() if name.startswith("nodes/a/")}
    assert {
        "agent.toml", "check.json", "lacking.json", "run/db/config.json", "run/db/scripts/fence", "machine/mounts.txt",
        "machine/versions.json", "machine/space.json", "network/addresses.txt", "network/routes.txt", "logs/agent.log",
        "logs/db/replicator.log", "logs/db/fence.1.log",
    } <= set(own)  # fmt: skip
    assert not [name for name in own if "elsewhere" in name or "link.2" in name], "links are not followed"
    assert 'node = "a"' in own["agent.toml"] and "chassis power off" in own["run/db/scripts/fence"]
    assert "it is off" in own["logs/db/fence.1.log"] and 'PORT = \\"5432\\"' in own["run/db/config.json"]
    assert any(f["subject"] == "kernel" for f in json.loads(own["check.json"])["findings"])
    summary = found["summary.txt"]
    assert "journalctl" not in summary
    assert "a: agent: The agent of this node does not answer on" in summary
    assert "a: etcd.json: no endpoint of etcd answers: 127.0.0.1:1" in summary
    assert "b  unknown: it was not asked, since this node's agent does not answer" in summary
    assert found["nodes/b/unknown.txt"] == "it was not asked, since this node's agent does not answer\n"


def test_of_logs_that_go_to_the_syslog_alone_it_is_said_that_they_are_not_in_it(node: Node) -> None:
    node.config.write_text(node.config.read_text() + '[log]\nto = ["syslog"]\n')
    found = opened(node.ask("--local", "--output", "-").stdout)
    assert "journalctl -t mirrorfarm-agent" in found["summary.txt"] and "nodes/a/logs/agent.log" in found


def test_by_a_configuration_that_is_wrong_it_is_made_as_far_as_that_goes(node: Node) -> None:
    node.config.write_text(node.config.read_text() + "[lease]\nttl = 7\n")
    found = opened(node.ask("--local", "--output", "-").stdout)
    assert "a: etcd.json: agent.toml cannot be read: where etcd is, is not known" in found["summary.txt"]
    assert "nodes/b/unknown.txt" not in found, "it is of this node alone"
    assert any(f["subject"] == "agent.toml" for f in json.loads(found["nodes/a/check.json"])["findings"])
    assert "it is off" in found["nodes/a/logs/db/fence.1.log"]


def test_what_an_agent_has_collected_for_it_is_collected_by_who_may_look_and_not_change(node: Node) -> None:
    """Looked at while it waits for this node's agent."""
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(node.root / "run" / "agent.sock"))
        agent.listen()
        agent.settimeout(100)
        command = (*COMMAND, "--config", str(node.config), "snapshot", "--local", "--output", "-")
        with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
            connection, _ = agent.accept()
            ours, rights = rights_of("self"), rights_of(program.pid)
            agent.close()
            connection.close()
            out, _ = program.communicate(timeout=100)
    assert rights.effective == rights.permitted == ours.permitted & mask(RIGHTS)
    assert rights.bounding == ours.bounding & mask(RIGHTS) and rights.no_new_privileges
    found = opened(out)
    assert "it is off" in found["nodes/a/logs/db/fence.1.log"]
    assert "nft" not in found["nodes/a/lacking.json"], "it may list the rules"


def test_a_full_disk_is_said_and_nothing_is_left(node: Node) -> None:
    small = node.root / "small"
    small.mkdir()
    (node.root / "log" / "agent.log").write_bytes(os.urandom(1 << 20).hex().encode())
    script = (
        f"mount -t tmpfs -o size=64k none {small} && {' '.join(COMMAND)} --config {node.config} snapshot --local "
        f"--output {small}/x.tar.gz; echo code $?; ls -A {small} | wc -l"
    )
    ran = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=100)
    assert ran.stdout.split() == ["code", "1", "0"], ran
    assert "could not be written: No space left on device. Nothing of it is left." in ran.stderr


# With agents


class Cluster:
    """a, whose agent is there by its socket, b, which is asked by it, and c, which is not there."""

    def __init__(self, root: Path) -> None:
        self.a, self.b = Node(root / "a", "a"), Node(root / "b", "b")
        self.bench = Bench("a", "b", "c")
        self.bench.put(KEYS.module("db").config, RECORD)
        state = StateHandlers(self.bench.seat, Nobody())
        self.handlers = SnapshotHandlers(self.bench.seat, self.program(self.a))
        own: dict[str, Handler] = {
            "node.info": state.node_info,
            "state": state.state,
            "why": state.why,
            "history": state.history,
            "module.show": state.show,
            "snapshot": self.handlers.snapshot,
            "replicator": self.handlers.replicator,
        }
        self.agent = Agent(str(self.a.root / "run" / "agent.sock"), own, self.forward)
        self.agent.run(self.follow())

    def program(self, node: Node) -> SnapshotProgram:
        return SnapshotProgram((*COMMAND, "--config", str(node.config), "snapshot", "--local", "--output", "-"))

    async def follow(self) -> None:
        self.following = asyncio.ensure_future(self.bench.view.follow(self.bench.store))
        await self.bench.until(lambda: self.bench.view.revision > 0)

    async def forward(self, node: str, arguments: Any, caller: Caller, report: Report) -> Any:
        if node == "c":
            raise ApiError(ErrorKind.UNREACHABLE, "node c: no answer within 2 s.")
        if isinstance(arguments, NodeInfoArguments):
            return NodeInfo("c", "b", "1", True, ())
        assert isinstance(arguments, SnapshotArguments) and not arguments.etcd
        return await SnapshotHandlers(self.bench.seat, self.program(self.b)).snapshot(arguments, caller, report)

    async def end(self) -> None:
        self.following.cancel()
        await asyncio.wait([self.following])


@pytest.fixture
def cluster(short: Path) -> Iterator[Cluster]:
    cluster = Cluster(short)
    yield cluster
    cluster.agent.run(cluster.end())
    cluster.agent.close()


def test_all_nodes_are_in_one_file_and_who_does_not_answer_is_unknown_in_it(cluster: Cluster) -> None:
    ran = cluster.a.ask()
    assert ran.returncode == 0, ran.stderr
    (made,) = cluster.a.root.glob("mirrorfarm-snapshot-*.tar.gz")
    found = opened(made.read_bytes())
    assert not [name for name, text in found.items() if SECRET in text]
    assert 'node = "a"' in found["nodes/a/agent.toml"] and 'node = "b"' in found["nodes/b/agent.toml"]
    state = json.loads(found["nodes/a/agent/state.json"])
    assert (state["node"], state["modules"][0]["name"]) == ("a", "db")
    assert json.loads(found["nodes/a/agent/db/why.json"])["node"] == "a"
    assert "chassis power off" in found["nodes/a/modules/db/scripts/fence"]
    assert json.loads(found["nodes/a/modules/db/applied.json"])["generation"] == 3
    assert found["nodes/c/unknown.txt"] == "node c: no answer within 2 s.\n"
    assert "c  unknown: node c: no answer within 2 s." in found["summary.txt"]
    assert "b: agent/info.json: The agent of this node does not answer" in found["summary.txt"]
    assert "does not belong there" not in found["summary.txt"], "each node's part came whole"
    assert "node c is unknown in it: node c: no answer within 2 s." in ran.stderr.decode()


def test_where_the_agent_has_not_heard_etcd_it_is_said_that_other_nodes_are_not_known(cluster: Cluster) -> None:
    cluster.agent.run(cluster.end())
    cluster.bench.view.revision = 0
    ran = cluster.a.ask("--output", "x.tar.gz", "--since", "1 h")
    found = opened((cluster.a.root / "x.tar.gz").read_bytes())
    assert "a: other nodes: which there are is not known: etcd has not answered since" in found["summary.txt"]
    assert "of other nodes which there are is not known" in ran.stderr.decode()
    assert "nodes/a/agent.toml" in found and "nodes/a/logs/agent.log" in found


def test_of_one_node_alone(cluster: Cluster) -> None:
    command = [*COMMAND, "--config", str(cluster.a.config), "--node", "c", "snapshot", "--output", "c.tar.gz"]
    subprocess.run(command, check=True, capture_output=True, timeout=100, cwd=cluster.a.root)
    found = opened((cluster.a.root / "c.tar.gz").read_bytes())
    assert set(found) == {"nodes/c/unknown.txt", "summary.txt"}


# What comes from another node


def packed(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(f"f/{name}")
            member.size, member.type, member.linkname = len(content), kind, "/etc/shadow"
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


GOOD = ("nodes/b/agent.toml", b"x")


@pytest.mark.parametrize(
    ("came", "why"),
    [
        (packed(GOOD, ("nodes/a/agent.toml", b"of another node")), "'f/nodes/a/agent.toml' does not belong there"),
        (packed(GOOD, ("nodes/b/../../x", b"")), "'f/nodes/b/../../x' does not belong there"),
        (packed(GOOD, ("/etc/passwd", b"")), "does not belong there"),
        (packed(GOOD, ("nodes/b/x\x1b[1m", b"")), "does not belong there"),
        (packed(("nodes/b/link", b""), kind=tarfile.SYMTYPE), "'f/nodes/b/link' does not belong there"),
        (packed(("nodes/b/dev", b""), kind=tarfile.CHRTYPE), "does not belong there"),
        (packed(GOOD, ("nodes/b/long", os.urandom(50_000)))[:20_000], "what came is not whole"),
        (b"no tar at all", "what came is not whole"),
        (gzip.compress(b"no tar at all" * 100), "what came is not whole"),
        (packed(GOOD, ("nodes/b/lacking.json", b"[]")), "is not understood"),
    ],
    ids=(
        "another node", "upwards", "absolute", "not printable", "link", "device", "cut off", "no gzip", "no tar",
        "no notes",
    ),
)  # fmt: skip
def test_what_does_not_belong_there_ends_a_node_s_part_and_is_said(came: bytes, why: str) -> None:
    into = io.BytesIO()
    with Archive(into, "g") as archive:
        (lack,) = merge(io.BytesIO(came), "b", archive)
    assert lack.what == "the rest" and why in lack.why
    assert set(opened(into.getvalue())) <= {"nodes/b/agent.toml"}


def test_what_would_unpack_to_no_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.cli.snapshot.merging.MOST_BYTES", 1 << 20)
    into = io.BytesIO()
    with Archive(into, "g") as archive:
        (lack,) = merge(io.BytesIO(packed(GOOD, ("nodes/b/bomb", bytes(2 << 20)))), "b", archive)
    assert lack == Lacking("the rest", "it unpacks to more than 1 MiB")
    assert set(opened(into.getvalue())) == {"nodes/b/agent.toml"}


# Bounds


def test_what_hangs_is_left_and_what_comes_after_it_is_had(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    put: dict[str, bytes] = {}
    collector = Collector(put.__setitem__, 60.0)
    collector.text("hangs", fifo.read_text, seconds=0.05)
    collector.text("fails", lambda: Path("/nowhere/at/all").read_text())
    collector.text("good", lambda: "here")
    collector.close()
    fifo.write_text("the thread may go")
    assert put["good"] == b"here" and set(put) == {"good", "lacking.json"}
    assert collector.lacking == [
        Lacking("hangs", "nothing came within 0.05 s"),
        Lacking("fails", "/nowhere/at/all: No such file or directory"),
    ]


def test_when_a_node_s_time_is_over_the_rest_is_named() -> None:
    now = [0.0]
    put: dict[str, bytes] = {}
    collector = Collector(put.__setitem__, 60.0, lambda: now[0])
    collector.text("first", lambda: "x")
    now[0] = 60.0
    collector.text("second", lambda: "x")
    assert set(put) == {"first"} and collector.lacking == [Lacking("second", "the 60 s for this node were over")]


def collected_logs(directory: Path, since_ms: int = 0, now_s: float = 0.0) -> tuple[dict[str, str], list[Lacking]]:
    put: dict[str, str] = {}
    collector = Collector(lambda name, content: put.__setitem__(name, content.decode()), 60.0)
    Logs(collector, since_ms, lambda: now_s).take_all(str(directory))
    return put, collector.lacking


def test_of_logs_there_is_the_newest_and_what_was_rotated_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.cli.snapshot.logs.LOG_BYTES", 100)
    old, new = [f"line {n} of before\n" for n in range(10)], [f"line {n}\n" for n in range(4)]
    (tmp_path / "agent.log").write_text("".join(new))
    (tmp_path / "agent.log.1").write_text("".join(old))
    (tmp_path / "agent.log.2.gz").write_bytes(gzip.compress(b"older still\n"))
    (tmp_path / "agent.log.bak").write_text("nobody's")
    for age, name in enumerate(("agent.log", "agent.log.1", "agent.log.2.gz")):
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    put, lacking = collected_logs(tmp_path)
    assert put["logs/agent.log"] == "".join(new)
    assert put["logs/agent.log.1"] == "".join(old[-4:])
    assert "logs/agent.log.2" not in put or lacking
    assert Lacking("logs/agent.log.1", "only its last 0 KiB") in lacking


def test_a_log_that_was_packed_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "agent.log.2.gz").write_bytes(gzip.compress(b"older still\n"))
    (tmp_path / "agent.log.3.gz").write_bytes(b"no gzip")
    put, lacking = collected_logs(tmp_path)
    assert put == {"logs/agent.log.2": "older still\n"}
    assert [one.what for one in lacking] == ["logs/agent.log.3"] and "cannot be unpacked" in lacking[0].why


def test_since_leaves_out_what_is_older(tmp_path: Path) -> None:
    entries = [{"at": f"2026-01-01T00:0{minute}:00Z", "n": minute} for minute in range(5)]
    (tmp_path / "agent.log").write_text("".join(json.dumps(e) + "\n" for e in entries))
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "fence.1.log").write_text("old")
    begin_s = 1767225600.0
    os.utime(tmp_path / "agent.log", (begin_s + 240, begin_s + 240))
    os.utime(tmp_path / "db" / "fence.1.log", (begin_s, begin_s))
    put, lacking = collected_logs(tmp_path, 120_000, begin_s + 270)
    assert [json.loads(line)["n"] for line in put["logs/agent.log"].splitlines()] == [3, 4]
    assert "logs/db/fence.1.log" not in put and lacking == []


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(KeyboardInterrupt), new_file(path) as file, Archive(file, "f") as archive:
        archive.put("a", b"x")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="is there already"), new_file(path) as file:
        path.write_text("somebody was faster")
    assert [p.name for p in tmp_path.iterdir()] == ["x"] and path.read_text() == "somebody was faster"
    with pytest.raises(ConfigError, match="No such file or directory"), new_file(tmp_path / "nowhere" / "x"):
        raise AssertionError("not reached")


# The agent's side


def run_program(*script: str, seconds: float = 20.0, most_bytes: int = 1 << 20) -> tuple[Any, bytes]:
    sent: list[bytes] = []

    async def send(piece: bytes) -> None:
        sent.append(piece)

    async def story() -> Any:
        return await SnapshotProgram(("sh", "-c", *script), seconds, most_bytes).run((), send)

    return asyncio.run(story()), b"".join(sent)


def test_what_the_program_writes_is_handed_on_with_how_it_ended() -> None:
    result, sent = run_program("printf hello; exec sh -c 'printf there'")
    assert (result.bytes_sent, result.error, sent) == (10, "", b"hellothere")
    result, sent = run_program("printf some; echo first >&2; echo it broke >&2; exit 7")
    assert (result.error, sent) == ("it ended with exit code 7: it broke", b"some")
    result, _ = run_program("kill -9 $$")
    assert result.error == "it was ended by SIGKILL: it said nothing"
    result, sent = run_program("printf begun; sleep 60", seconds=0.5)
    assert (result.error, sent) == ("it was not done within 0.5 s", b"begun")
    result, sent = run_program("head -c 3000000 /dev/zero", most_bytes=1 << 20)
    assert result.error == "it is more than 1 MiB" and len(sent) <= 1 << 20


def test_one_at_a_time_and_who_gives_up_ends_it_with_all_that_it_has_begun(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    async def story() -> None:
        begun = asyncio.Event()

        async def send(piece: bytes) -> None:
            begun.set()

        bench = Bench("a")
        program = SnapshotProgram(("sh", "-c", f"sleep 60 & echo $! > {note}; echo x; wait"))
        handlers = SnapshotHandlers(bench.seat, program)
        first = asyncio.ensure_future(program.run((), send))
        await begun.wait()
        with pytest.raises(ApiError, match="being made already") as refused:
            await handlers.snapshot(SnapshotArguments(), None, bench.report)  # type: ignore[arg-type]
        assert refused.value.kind is ErrorKind.BUSY
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        await gone(lambda: not os.path.exists(f"/proc/{note.read_text().strip()}") or _is_zombie(note))

    asyncio.run(story())


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_its_pipe_is_given_back_though_it_is_held_longer_than_by_the_program_itself() -> None:
    """Else its end would be met by a loop that is closed."""

    async def story() -> None:
        begun = asyncio.Event()

        async def send(piece: bytes) -> None:
            begun.set()

        program = SnapshotProgram(("sh", "-c", "setsid sleep 0.2 & echo x; wait"))
        running = asyncio.ensure_future(program.run((), send))
        await begun.wait()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(story())
    gc.collect()


def _is_zombie(note: Path) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{note.read_text().strip()}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


async def gone(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it lives")
