"""docs/tutorial.md, typed as it stands: each command on the machine that it names, each answer compared.

What a lab has to do otherwise is in ``OTHERWISE``, with the reason; all else runs as it is on the page. The etcd that
came of the printed commands is looked at afterwards.
"""

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from manager.lab.agents import ask_agent
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from manager.model.api import NodeInfoArguments
from tests.support.lab import LogKeeper, lab_directory, make_lab
from tests.support.page import Command, Step, difference, steps_of
from tests.support.remote import typed

PAGE = Path(__file__).parents[3] / "docs" / "tutorial.md"
NAMES = {"alpha": "a", "beta": "b", "gamma": "witness"}
"""The page's machines, and the lab's."""
PROGRAMS = {
    "make": "make", "python3-venv": "python3", "etcd-server": "etcd", "postgresql": "pg_createcluster",
    "postgresql-client": "psql",
}  # fmt: skip
"""What each of Debian's packages brings."""
STEP_S = 100.0
_LONG_S = 1.0


@dataclass
class Stage:
    """The page's machines, and what has been said on them."""

    lab: Lab
    said: list[str] = field(default_factory=list)

    def machine(self, name: str) -> RunningMachine:
        return self.lab[NAMES[name]]

    def set_up(self, name: str) -> None:
        """What a reader's machine has: its own name, the others' names, and nothing of Mirrorfarm's configured."""
        machine = self.machine(name)
        machine.run(["hostname", name])
        hosts = [f"{self.machine(other).machine.ipv4} {other}" for other in NAMES]
        machine.run(["tee", "/etc/hosts"], stdin="\n".join(["127.0.0.1 localhost", *hosts, ""]))
        machine.run(["rm", "-rf", "/etc/mirrorfarm/agent.toml", "/etc/mirrorfarm/modules/db", "/srv/db"])

    def do(self, step: Step) -> str:
        """Do it, and return what it says; a file that it writes is as shown, a module that it applies is everywhere."""
        one = next((one for one in OTHERWISE if re.fullmatch(one.what, words_of(step), re.DOTALL)), None)
        if one is not None:
            return one.do(self, step)
        assert isinstance(step, Command), f"line {step.line}: done by hand, and not in OTHERWISE: {step.words}"
        machine = self.machine(step.machine)
        if step.text == "mirrorfarm check":
            self.wait_until_the_agents_have_met()
        said = run(machine, step)
        if step.written is not None:
            path, content = step.written
            assert machine.run(["cat", path]) == content, f"line {step.line}: {path} is not as shown"
        applied = re.fullmatch("mirrorfarm module apply (.*)", step.text)
        if applied is not None:
            self.compare_applied(machine, applied[1])
        return said

    def wait_until_the_agents_have_met(self) -> None:
        """As they have by the time that a reader has read on."""
        nodes, end = {"alpha", "beta"}, time.monotonic() + STEP_S
        for name in nodes:
            while {one.node for one in ask_agent(self.machine(name), NodeInfoArguments()).nodes} != nodes:
                assert time.monotonic() < end, name
                time.sleep(0.1)

    def compare_applied(self, machine: RunningMachine, folder: str) -> None:
        """The other node has the folder's files."""
        listed = machine.run(["find", folder, "-type", "f", "-printf", "%P\n"]).split()
        files = {name: machine.run(["cat", f"{folder}/{name}"]) for name in listed}
        shown = json.loads(self.machine("beta").run(["mirrorfarm", "module", "show", folder, "--json"]))
        scripts = {f"scripts/{name}": text for name, text in shown["scripts"].items()}
        assert files == {"module.toml": shown["toml"], **scripts}


def words_of(step: Step) -> str:
    return step.text if isinstance(step, Command) else step.words


def run(machine: RunningMachine, step: Command) -> str:
    """What root's shell on it says, standard error among it; a daemon that it starts is not waited for."""
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        done = subprocess.run(
            machine.command(["bash", "-c", step.text]), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            timeout=STEP_S, check=False,
        )  # fmt: skip
        out.seek(0)
        said = out.read()
    assert done.returncode == 0, f"line {step.line}: {step.text}\nfailed ({done.returncode}):\n{said}"
    return said


# --- What a lab does otherwise ----------------------------------------------------------------------------


def install_packages(stage: Stage, step: Step) -> str:
    assert isinstance(step, Command)
    machine, packages = stage.machine(step.machine), step.text.split()[3:]
    for package in packages:
        machine.run(["which", PROGRAMS[package]])
    if "postgresql" in packages:
        (version,) = machine.run(["ls", "/usr/lib/postgresql"]).split()
        machine.run(["pg_createcluster", version, "main", "--start"])
    return ""


def look_for_the_programs(stage: Stage, step: Step) -> str:
    assert isinstance(step, Command)
    return stage.machine(step.machine).run(["which", "mirrorfarm", "/etc/init.d/mirrorfarm-agent"])


def type_for_ssh(stage: Stage, step: Step) -> str:
    assert isinstance(step, Command)
    machines = {place: stage.machine(name) for name in NAMES for place in (name, stage.machine(name).machine.ipv4)}
    return typed(step.text, stage.machine(step.machine), machines)


def restart_etcd(stage: Stage, step: Step) -> str:
    assert isinstance(step, Command)
    return stage.machine(step.machine).run(["/etc/init.d/etcd", "restart"])


def leave_installed(stage: Stage, step: Step) -> str:
    return ""


def pull_the_plug(stage: Stage, step: Step) -> str:
    stage.machine("alpha").run(["sync", "-f", "/etc/mirrorfarm"])
    stage.lab.crash(NAMES["alpha"], power=True)
    return ""


def switch_on(stage: Stage, step: Step) -> str:
    stage.lab.start(NAMES["alpha"], agents=False)
    alpha = stage.machine("alpha")
    alpha.run(["hostname", "alpha"])
    started = 'for script in /etc/rc2.d/S*mirrorfarm*; do RUNLEVEL=2 PREVLEVEL=N "$script" start; done'
    return alpha.run(["sh", "-euc", started])


@dataclass(frozen=True)
class Otherwise:
    """A step that a lab cannot take as it stands."""

    what: str
    """A pattern of the whole step."""
    why: str
    do: Callable[[Stage, Step], str]


OTHERWISE = (
    Otherwise(
        "apt-get install -y .*",
        "The machines have the packages of the machine that runs the tests, and no network. Each program is looked "
        "for, and PostgreSQL's first cluster made and started, as Debian's package does.",
        install_packages,
    ),
    Otherwise(
        "make -C mirrorfarm install",
        "The machines are lent this checkout, as it would be installed; tests/integration/install is about that.",
        look_for_the_programs,
    ),
    Otherwise(
        "(ssh|scp) .*", "No sshd runs in a lab; the same is done by the lab, and it was printed before.", type_for_ssh
    ),
    Otherwise("systemctl restart --no-block etcd", "No systemd runs here: Debian's init script does it.", restart_etcd),
    Otherwise(
        "Pull the plug of alpha[.]",
        "A reader has taken minutes to come here, and his kernel has written what was typed to the disk.",
        pull_the_plug,
    ),
    Otherwise(
        "Plug alpha in again, and switch it on[.]",
        "A machine of a lab has no init of its own: the lab starts etcd, and what init has of ours at boot is run.",
        switch_on,
    ),
    Otherwise(
        "make -C mirrorfarm uninstall REMOVE=.*",
        "What was not installed is not removed; tests/integration/install is about it.",
        leave_installed,
    ),
)


# --- The tests --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steps() -> tuple[Step, ...]:
    return steps_of(PAGE.read_text())


def test_what_is_done_otherwise_is_on_the_page(steps: tuple[Step, ...]) -> None:
    for one in OTHERWISE:
        assert any(re.fullmatch(one.what, words_of(step), re.DOTALL) for step in steps), one.what
    assert {step.machine for step in steps if isinstance(step, Command)} == set(NAMES)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Three machines as a reader has them, but for what the lab has lent them."""
    logs = LogKeeper(request)
    made = make_lab(lab_directory(tmp_path_factory.mktemp("lab")), agents=False)
    try:
        ready = Stage(made)
        for name in NAMES:
            ready.set_up(name)
        yield ready
    finally:
        logs.tell(made)
        made.down()


@pytest.mark.timeout(600)
def test_the_page_as_it_stands(stage: Stage, steps: tuple[Step, ...]) -> None:
    begun = time.monotonic()
    for step in steps:
        at = time.monotonic()
        said = stage.do(step)
        stage.said.append(said)
        took_s = time.monotonic() - at
        if took_s >= _LONG_S:
            print(f"line {step.line}: {took_s:.1f} s: {words_of(step).splitlines()[0]}")
        if isinstance(step, Command) and step.answer:
            differs = difference(step.answer, said)
            assert not differs, f"line {step.line}: {step.text}: {differs}"
    print(f"all of it: {time.monotonic() - begun:.1f} s")


def test_what_was_printed_to_be_typed_is_what_the_page_types(stage: Stage, steps: tuple[Step, ...]) -> None:
    on_page = {step.text for step in steps if isinstance(step, Command)}
    printed = [
        line[4:]
        for said in stage.said
        for line in said.splitlines()
        if re.match(" {4}(ssh|scp|install|cp|[(]cd)", line)
    ]
    assert len(printed) == 2 + 9
    assert set(printed) <= on_page
    assert all(step.text in printed for step in steps if isinstance(step, Command) and re.match("ssh|scp", step.text))


def test_nothing_is_mounted_or_held_any_more(stage: Stage) -> None:
    for name in ("alpha", "beta"):
        machine = stage.machine(name)
        assert "fuse.mirrorfarm" not in machine.run(["cat", "/proc/mounts"])
        assert " 10.77.0.10" not in machine.run(["ip", "-o", "address"])


def test_the_members_keys_are_their_users_alone(stage: Stage) -> None:
    for name in NAMES:
        machine = stage.machine(name)
        assert machine.run(["stat", "-c", "%U:%G %a", "/etc/etcd/etcd.key"]) == "root:etcd 640\n"
        assert machine.run(["stat", "-c", "%U:%G %a", "/etc/etcd"]) == "root:etcd 750\n"
        assert machine.run(["sh", "-c", "stat -c %U /proc/$(pidof etcd)"]) == "etcd\n"


def test_etcd_answers_nobody_in_plain_and_nobody_without_a_certificate(stage: Stage) -> None:
    hosts = [f"{stage.machine(name).machine.ipv4}:2379" for name in NAMES]
    urls = [f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")]
    # All at once: each is waited for until its time is over.
    ask = "(etcdctl --insecure-skip-tls-verify --command-timeout=2s --endpoints=$url get /x && echo answered) 2>&1 &"
    said = stage.machine("beta").run(
        ["sh", "-c", f"export ETCDCTL_API=3; for url in {' '.join(urls)}; do {ask} done; wait"]
    )
    assert said.count("context deadline exceeded") == len(urls) and "answered" not in said, said
