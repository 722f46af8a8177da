"""A bundle, built here, is installed on two machines that have nothing of Mirrorfarm, works there, and is removed.

``a`` is installed by the bundle's ``install``, and its agent started by SysV's links; ``b`` gets a root that was made
elsewhere (``make install DESTDIR=``), and its agent is started by systemd. Neither sees this checkout.
"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from manager.lab.errors import LabError
from manager.lab.lab import Lab
from tests.integration.install.roots import AT, CONFIG, Bare, make_bare, roomy_directory
from tests.integration.install.systemd_machine import booted
from tests.support.lab import bare_lab

__all__ = ["bare_lab"]

ROOT = Path(__file__).resolve().parents[3]
_SCRIPT = "/etc/init.d/mirrorfarm-agent"
_EXAMPLE = "/etc/mirrorfarm/agent.toml.example"
_KEYS = "/etc/mirrorfarm/pki"
_MODULE = "/etc/mirrorfarm/modules/db"
_MODULE_TOML = """\
name = "db"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/db"]
"""
_OF_OURS = (
    "/etc/mirrorfarm", "/etc/rc", "/etc/init.d", "/etc/logrotate.d", "/etc/systemd/system/mirrorfarm",
    "/etc/systemd/system/multi-user", "/opt", "/usr/local", "/var/lib/mirrorfarm", "/var/log/mirrorfarm",
)  # fmt: skip
_LOOK_S = 0.1


@dataclass(frozen=True)
class Made:
    """What ``make install DESTDIR=`` has made."""

    bundle: Path
    image: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    # The packages come from pip's cache, where that has them.
    with tempfile.TemporaryDirectory(dir=roomy_directory(tmp_path_factory.mktemp("made"))) as directory:
        here = Made(Path(directory, "bundle"), Path(directory, "image"))
        subprocess.run(
            ["make", "install", f"DESTDIR={here.image}", f"BUNDLE={here.bundle}"], cwd=ROOT,
            env=os.environ | {"PYTHON": "/usr/bin/python3"}, check=True, timeout=200,
        )  # fmt: skip
        yield here


def test_a_root_made_elsewhere_names_no_place_but_its_own(made: Made) -> None:
    named = subprocess.run(
        ["grep", "-rlF", "-e", str(made.image), made.image],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert named.stdout == "" and named.returncode == 1
    program = (made.image / "opt/mirrorfarm/bin/mirrorfarm-agent").read_text().splitlines()[0]
    assert re.fullmatch("#!/opt/mirrorfarm/[0-9.]+-[0-9]+T[0-9]+/bin/python -I", program)
    assert os.readlink(made.image / "usr/local/bin/mirrorfarm") == "/opt/mirrorfarm/bin/mirrorfarm"


def test_the_shells_and_man_take_what_was_made_for_them(made: Made, tmp_path: Path) -> None:
    share = made.image / "usr/local/share"
    asked = "COMP_WORDS=(mirrorfarm main); COMP_CWORD=1; _shtab_mirrorfarm mirrorfarm main; echo ${COMPREPLY[@]}"
    bash = share / "bash-completion/completions/mirrorfarm"
    assert quiet("bash", "-c", f'. "$1"; complete -p mirrorfarm >/dev/null; {asked}', "bash", bash) == "maintenance\n"
    zsh = (
        'fpath=("$1" $fpath); autoload -Uz compinit; compinit -u -d "$2"; autoload -Uz +X _mirrorfarm; '
        "echo $_comps[mirrorfarm]"
    )
    found = quiet("zsh", "-f", "-c", zsh, "zsh", share / "zsh/site-functions", tmp_path / "dump")
    assert found == "_mirrorfarm\n"
    page = quiet("man", "--warnings", "-E", "UTF-8", "-l", share / "man/man1/mirrorfarm.1")
    assert "mirrorfarm maintenance" in page and "--watch" in page


def quiet(*argv: str | Path) -> str:
    """Its output; it has nothing to complain of."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def machines(made: Made, bare_lab: Lab) -> Iterator[tuple[Bare, Bare]]:
    a, b = (make_bare(bare_lab, name, made.bundle) for name in ("a", "b"))
    yield a, b
    for machine in (one for one in (a, b) if one.node.is_up):
        print(machine.shell("tail -n 40 /var/log/mirrorfarm/*.log /var/log/mirrorfarm/*/*.log || true"))


@pytest.mark.timeout(600)
def test_installed_booted_crashed_returned_upgraded_removed(
    made: Made, bare_lab: Lab, machines: tuple[Bare, Bare]
) -> None:
    a, b = machines
    before = {machine.node.name: machine.listing() for machine in machines}
    with ThreadPoolExecutor() as both:
        for installed in (both.submit(install, a), both.submit(unpack, b, made.image)):
            installed.result()
    assert "does not start with this machine" in a.run("mirrorfarm", "boot")
    assert a.boot_by_sysv() == ""
    certify(a, b)
    for machine in machines:
        assert "starts with this machine" in machine.run("mirrorfarm", "boot", "on")
    assert "started." in a.boot_by_sysv()
    with booted(b) as up:
        serve(a, up)
        crash_and_return(bare_lab, a, up)
        keep_as_it_was(bare_lab, a)
        upgrade(a)
        stop_all(a, up)
        remove(up, before["b"])
    remove(a, before["a"])


def install(machine: Bare) -> None:
    assert "what comes next" in machine.run(f"{AT}/install", seconds=110)
    configure(machine)


def unpack(machine: Bare, image: Path) -> None:
    """What a package does with a root that was made elsewhere."""
    packed = subprocess.run(["tar", "-cC", image, "."], capture_output=True, timeout=60, check=True)
    argv = machine.node.command(["tar", "-xC", "/", "--no-overwrite-dir", "--keep-directory-symlink"])
    subprocess.run(argv, input=packed.stdout, capture_output=True, timeout=60, check=True)
    configure(machine)


def configure(machine: Bare) -> None:
    machine.node.run(["tee", CONFIG], stdin=machine.config.replace('mode = "off"', ""))
    machine.run("mkdir", _MODULE)
    machine.node.run(["tee", f"{_MODULE}/module.toml"], stdin=_MODULE_TOML)
    machine.run("sync")


def certify(a: Bare, b: Bare) -> None:
    """The authority is on ``a``, and what ``b`` shows is carried there."""
    for words in (("init",), ("issue", "a"), ("issue", "b", "--address", b.node.machine.ipv4)):
        said = a.run("mirrorfarm", "pki", *words)
    found = re.search("Its files are in ([^,]+),", said)
    assert found is not None, said
    packed = subprocess.run(
        a.node.command(["tar", "-cC", found[1], "."]), capture_output=True, timeout=60, check=True
    ).stdout  # fmt: skip
    b.run("install", "-d", "-m", "700", _KEYS)
    unpacking = b.node.command(["tar", "-xC", _KEYS])
    subprocess.run(unpacking, input=packed, capture_output=True, timeout=60, check=True)
    for machine in (a, b):
        machine.run("sync")


def serve(a: Bare, b: Bare) -> None:
    """Two agents and two replicators of the installation, and a module whose every write is on both."""
    for words in (("module", "apply", _MODULE), ("start", "db"), ("prim", "db", "--node", "a", "--yes", "a")):
        a.run("mirrorfarm", *words)
    a.run("mirrorfarm", "wait", "db", "SECOND", "--node", "b")
    for machine in (a, b):
        found = machine.programs()
        assert len(found) >= 2 and all(line.startswith("/opt/mirrorfarm/") for line in found), found
    assert "the agent starts with the machine" in b.run("mirrorfarm", "check")
    a.shell("echo one >/srv/db/one; logrotate -s /tmp/rotated -f /etc/logrotate.d/mirrorfarm")
    a.run("test", "-s", "/var/log/mirrorfarm/agent.log.1")
    assert "Mirrorfarm runs here" in a.refuses(f"{AT}/uninstall")


def crash_and_return(lab: Lab, a: Bare, b: Bare) -> None:
    """``a`` loses its power with all that was not on its disk; ``b`` serves, through its agent's death too."""
    lab.crash("a", power=True)
    b.run("mirrorfarm", "wait", "db", "ALONE", "--node", "b")
    b.shell("grep -qx one /srv/db/one; echo two >/srv/db/two")
    agent, replicator = main_process(b), b.run("pgrep", "-f", "replicator.main")
    b.run("kill", "-KILL", agent)
    eventually(lambda: main_process(b) != agent)
    assert b.run("pgrep", "-f", "replicator.main") == replicator, "systemd ends the agent alone"
    eventually(lambda: main_process(b) != "0")
    b.run("mirrorfarm", "wait", "db", "ALONE", "--node", "b")
    agent = main_process(b)
    b.run(_SCRIPT, "upgrade")
    eventually(lambda: main_process(b) not in ("0", agent))
    b.run("mirrorfarm", "wait", "db", "ALONE", "--node", "b")
    lab.start("a", agents=False)
    a.bare()
    assert "started." in a.boot_by_sysv()
    a.run("mirrorfarm", "wait", "db", "SECOND", "--node", "a")
    assert "equal" in b.run("mirrorfarm", "verify", "db")


def main_process(b: Bare) -> str:
    return b.run("systemctl", "show", "-P", "MainPID", "mirrorfarm-agent").strip()


def eventually(holds: object, seconds: float = 20.0) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except LabError:
            pass
        assert time.monotonic() < end
        time.sleep(_LOOK_S)


def keep_as_it_was(lab: Lab, a: Bare) -> None:
    """``boot prev``: started after a shutdown in which it ran, and not after one before which it was stopped."""
    assert "as it was before: started" in a.run("mirrorfarm", "boot", "prev")
    assert "stopped." in a.shut_down_by_sysv()
    assert "started." in a.boot_by_sysv()
    a.run(_SCRIPT, "stop")
    assert "as it was before: stopped" in a.run("mirrorfarm", "boot")
    assert "stays so" in a.boot_by_sysv()
    assert "started." in a.run(_SCRIPT, "start")
    a.run("mirrorfarm", "wait", "db", "SECOND", "--node", "a")


def upgrade(a: Bare) -> None:
    """A release beside the one that runs, where an example was changed; the agent is exchanged, then the replicator."""
    a.shell(f"echo '# mine' >>{_EXAMPLE}")
    former = releases(a)
    said = a.run(f"{AT}/install", seconds=110)
    assert f"{_EXAMPLE} is as you have changed it" in said and f"{former[0]} stays" in said
    assert a.run("tail", "-n", "1", _EXAMPLE) == "# mine\n"
    assert "started." in a.run(_SCRIPT, "upgrade")
    a.run("mirrorfarm", "wait", "db", "SECOND", "--node", "a")
    for action in ("stop", "start"):
        a.run(_SCRIPT, action)
    a.run("mirrorfarm", "wait", "db", "SECOND", "--node", "a")
    new = [path for path in releases(a) if path not in former]
    assert len(new) == 1 and all(line.startswith(f"{new[0]}/bin/") for line in a.programs())


def releases(machine: Bare) -> list[str]:
    return machine.shell("ls -d /opt/mirrorfarm/*-*T*").split()


def stop_all(a: Bare, b: Bare) -> None:
    b.run("mirrorfarm", "stop", "db")
    b.run("mirrorfarm", "module", "remove", "db", "--yes")
    for machine in (a, b):
        machine.run(_SCRIPT, "stop")
    # systemd would have started it again, had it not been told.
    time.sleep(1.5)
    assert main_process(b) == "0" and b.programs() == []


def remove(machine: Bare, before: dict[str, str]) -> None:
    """Without a word what a person wrote stays; with the words nothing does, but the data."""
    said = machine.run("/opt/mirrorfarm/uninstall")
    for kept in ("/etc/mirrorfarm (", "/var/log/mirrorfarm (", "the replicated directories"):
        assert f"kept: {kept}" in said
    written = {"/etc/mirrorfarm", "/etc/mirrorfarm/modules", _MODULE, f"{_MODULE}/module.toml", CONFIG}
    if machine.node.name == "a":
        written.add(_EXAMPLE)
    assert {path for path in left(machine, before) if not path.startswith(("/var/log/mirrorfarm", _KEYS))} == written
    machine.run(f"{AT}/uninstall", "--yes", "config", "logs", "state")
    assert left(machine, before) == set()
    data = machine.shell("ls -A /var/lib/mirrorfarm; test ! -e /run/mirrorfarm; cat /srv/db/one /srv/db/two")
    assert data == "one\ntwo\n"


def left(machine: Bare, before: dict[str, str]) -> set[str]:
    """What on its disk is not as it was before the installation."""
    after = machine.listing()
    other = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    if machine.node.name == "a":
        return other
    # systemd has left its own traces; and the directories are those of the root that was unpacked there.
    return {p for p in other if p.startswith(_OF_OURS) and (after.get(p) != "d" or p.startswith("/etc/mirrorfarm"))}


def test_a_root_made_elsewhere_is_emptied_again(made: Made) -> None:
    """The last one: after it there is none."""
    argv = ["make", "--silent", "uninstall", f"DESTDIR={made.image}", "REMOVE=--yes config logs state"]
    subprocess.run(argv, cwd=ROOT, check=True, timeout=60)
    assert [path for path in made.image.rglob("*") if not path.is_dir()] == []
