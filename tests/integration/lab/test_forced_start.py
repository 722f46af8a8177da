"""The last primary is gone for good, and an operator has the other copy go on, which lacks what came last (S12).

It is refused for as long as anything of the last primary is there. When that node is back all the same, what it alone
had is kept before its copy is made equal, and can be looked at, restored and cleared there. The commands are those of
docs/operations.md.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from manager.lab.lab import Lab
from manager.lab.layout import CLUSTER, WITNESS
from manager.lab.machine import RunningMachine
from manager.model.keys import ClusterKeys
from tests.support.asking import state_of
from tests.support.operators import ask, done

FOLDER = "/etc/mirrorfarm/modules/force"
DIRECTORY = "/srv/force"
_TOML = """\
name = "force"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/force"]
{more}
"""
_BEFORE = """\
for name in both same mode deleted; do echo as both have it > $name; done
mkdir moved; echo moved > moved/file
dd if=/dev/zero of=big bs=1M count=4 status=none
"""
_ALONE = """\
echo only the last primary has this > both
rm deleted
chmod 600 mode
mv moved elsewhere
printf 4711 | dd of=big bs=1 seek=3000000 conv=notrunc status=none
mkdir own; printf kept > own/file
ln -s file own/link
printf bytes > "$(printf 'own/\\377\\nname')"
chmod 640 own/file; chown 12:34 own/file; setfattr -n user.colour -v green own/file; touch -d @1000000000 own/file
"""
_AFTER = """\
echo the other one went on > both
echo new > new
"""
_SYNC = "find . -exec sync {} +"


def refused(node: RunningMachine, *words: str) -> str:
    told = ask(node, *words)
    assert told.code == 1, told
    return told.err


def asked(node: RunningMachine, *words: str) -> Any:
    return json.loads(done(node, *words, "--json"))


def until_state(node: RunningMachine, of: str, *wanted: str, seconds: float = 60.0) -> None:
    """State, readiness and cause of ``of``, as ``node`` has them."""
    end = time.monotonic() + seconds
    while True:
        found = next(n for n in state_of(node, "force")["nodes"] if n["node"] == of)
        seen = (found["state"], found["readiness"], found["reason"])
        if seen == wanted:
            return
        assert time.monotonic() < end, seen
        time.sleep(0.2)


def change(node: RunningMachine, script: str) -> None:
    """Run ``script`` in the directory, and have all of it synced."""
    node.run(["sh", "-euc", f"cd {DIRECTORY}\n{script}{_SYNC}\n"])


def read(node: RunningMachine, path: str) -> str:
    return node.run(["cat", path])


def facts(node: RunningMachine, directory: str) -> list[str]:
    """What is below ``directory``: names, sorts, modes, owners, times, contents and attributes."""
    script = """\
        cd "$1"
        all() { find . -path ./.mirrorfarm -prune -o "$@" | sort | cat -v; }
        all ! -type d -printf '%p %y %m %U:%G %T@ %l\\n'
        all -type f -exec sha256sum {} +
        all -exec getfattr -hdm user {} +
    """
    return node.run(["sh", "-euc", script, "sh", directory]).splitlines()


def apply(lab: Lab, more: str = "", fence: str = "") -> None:
    """The module with these lines more, and with this script ``fence``; without one when that is empty."""
    a = lab.nodes[0] if lab.nodes[0].is_up else lab.nodes[1]
    a.run(["rm", "-rf", FOLDER])
    a.run(["install", "-d", f"{FOLDER}/scripts"])
    a.run(["tee", f"{FOLDER}/module.toml"], stdin=_TOML.format(more=more))
    if fence:
        a.run(["tee", f"{FOLDER}/scripts/fence"], stdin=fence)
    done(a, "module", "apply", FOLDER)


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Lab:
    for node in lab.nodes:
        node.run(["install", "-d", DIRECTORY])
    apply(lab)
    done(lab.node("a"), "start", "force")
    done(lab.node("a"), "prim", "force", "--yes", "a")
    return lab


@pytest.fixture
def pair(cluster: Lab) -> Iterator[Lab]:
    """PRIM on a and SECOND on b, with the files that both have; whatever the test before has left."""
    for node in cluster.nodes:
        if not node.is_up:
            cluster.start(node.name)
    a, b = cluster.nodes
    done(a, "start", "force")
    done(a, "wait", "force", "SECOND")
    if ask(a, "state", "force", "--quiet").code == 4:
        done(b, "swap", "force")
        done(a, "wait", "force", "SECOND", "--node", "b")
    change(a, f"find . -mindepth 1 -delete\n{_BEFORE}")
    yield cluster


def test_it_is_refused_while_anything_of_the_last_primary_is_there(pair: Lab) -> None:
    a, b = pair.nodes
    force = ("prim", "force", "--node", "b", "--force", "--off", "a", "--yes", "b")
    assert "primary" in refused(b, *force)  # a serves
    done(a, "stop", "force", "--node", "b")
    change(a, "echo alone > both\n")
    done(a, "stop", "force", "--node", "a")
    done(a, "start", "force", "--node", "b", "--no-wait")
    until_state(a, "b", "WAIT", "blocked", "not_in_sync")
    plain = refused(b, "prim", "force", "--node", "b")
    assert "may lack completed writes" in plain and "--force" in plain
    assert "agent of the node that was primary last is registered in etcd" in refused(b, *force)
    a.run(["/etc/init.d/mirrorfarm-agent", "stop"])
    end = time.monotonic() + 30
    while "is registered in etcd" in (answers := refused(b, *force)):  # b has not heard of it yet
        assert time.monotonic() < end, answers
    assert "answers on the network" in answers
    assert "10.77.0.1" in answers or "fd77::1" in answers
    assert read(b, f"{DIRECTORY}/both") == "as both have it\n"
    assert asked(b, "history", "force")["entries"][0]["node"] == "a"
    pair.start_agents([a])
    done(a, "start", "force")
    done(a, "wait", "force", "SECOND", "--node", "b")
    assert read(b, f"{DIRECTORY}/both") == "alone\n"


def until_counted(lab: Lab, node: str) -> None:
    """The primary has told etcd of something that the copy of ``node`` lacks: it counts each half minute."""
    key = ClusterKeys(CLUSTER).module("force").lacking(node)
    endpoint = f"{lab.layout.machine(WITNESS).ipv4}:2379"
    end = time.monotonic() + 60
    while True:
        text = lab.client.run(["etcdctl", f"--endpoints={endpoint}", "get", "--print-value-only", key]).strip()
        if text and json.loads(text)["files"] > 0:
            return
        assert time.monotonic() < end, text
        time.sleep(1)


def lose_last_primary(
    lab: Lab, last: RunningMachine, other: RunningMachine, script: str, *, counted: bool = False
) -> None:
    """``other`` is away while ``last`` goes on alone, and crashes for good; then ``other`` is back, and waits."""
    done(last, "stop", "force", "--node", other.name)
    done(last, "wait", "force", "ALONE", "--node", last.name)
    change(last, script)
    if counted:
        until_counted(lab, other.name)
    lab.crash(last.name, power=True)
    end = time.monotonic() + 30
    # etcd may be between two leaders: the crashed node may have been the last one.
    while ask(other, "start", "force", "--node", other.name, "--no-wait").code:
        assert time.monotonic() < end
    until_state(other, other.name, "WAIT", "blocked", "not_in_sync")


@pytest.mark.timeout(360)
def test_a_forced_copy_serves_and_what_the_former_primary_alone_had_is_set_aside(pair: Lab) -> None:
    a, b = pair.nodes
    lose_last_primary(pair, a, b, _ALONE, counted=True)

    # Nothing without a name, nor with a wrong one; what is at stake is said before anyone is asked.
    shown = refused(b, "prim", "force", "--node", "b", "--force")
    assert re.search(r"missing on b: [0-9.]+ MiB in [0-9]+ files at the most", shown), shown
    assert "a: its agent is not registered" in shown
    refused(b, "prim", "force", "--node", "b", "--force", "--off", "b", "--yes", "b")
    refused(b, "prim", "force", "--node", "b", "--force", "--off", "a", "--yes", "a")
    until_state(b, "b", "WAIT", "blocked", "not_in_sync")

    done(b, "prim", "force", "--node", "b", "--force", "--off", "a", "--yes", "b")
    done(b, "wait", "force", "ALONE", "--node", "b")
    assert read(b, f"{DIRECTORY}/both") == "as both have it\n"
    last = asked(b, "history", "force")["entries"][0]
    assert (last["node"], last["previous"], last["reason"]) == ("b", "a", "forced_by_operator")
    assert last["detail"].startswith("Off, says root: a. a did not answer at ")
    assert "The copy of b was in sync until 20" in last["detail"] and "at the most" in last["detail"]
    change(b, _AFTER)

    pair.start("a")
    done(b, "wait", "force", "SECOND", "--node", "a")
    assert asked(b, "verify", "force")["differences_total"] == 0
    assert read(b, f"{DIRECTORY}/both") == read(a, f"{DIRECTORY}/both") == "the other one went on\n"
    assert facts(a, DIRECTORY) == facts(b, DIRECTORY)
    look_at_what_was_set_aside(a, b)
    restore_it(a)
    refuse_what_is_wrong(a, b)
    give_something_back(a, b)
    clear_it(a, b)


def look_at_what_was_set_aside(a: RunningMachine, b: RunningMachine) -> None:
    [aside] = asked(a, "aside", "force")["asides"]
    assert (aside["number"], aside["primary"]) == (1, "b") and aside["node_epoch"] < aside["epoch"]
    assert "Nothing" not in done(a, "aside", "force") and "mirrorfarm aside force show 1" in done(a, "aside", "force")
    items = {item["path"]: item for item in asked(a, "aside", "force", "show", "1")["items"]}
    kept = {path.removeprefix(f"{DIRECTORY}/"): item["kept"] for path, item in items.items()}
    assert kept == kept | {
        "both": "whole",
        "big": "whole",
        "mode": "attributes",
        "own": "directory",
        "own/file": "whole",
        "own/link": "whole",
        "own/\\xff\\x0aname": "whole",
        "elsewhere/file": "whole",
    }
    assert not {"same", "new", "deleted"} & set(kept)
    for node in (a, b):
        assert "a has set aside what it alone had (once," in done(node, "state", "force")
        assert "mirrorfarm aside force" in done(node, "why", "force", "--node", "a")


def restore_it(a: RunningMachine) -> None:
    a.run(["sh", "-euc", f"mkdir /tmp/as-it-was && cd /tmp/as-it-was\n{_BEFORE}{_ALONE}rm same mode"])
    done(a, "aside", "force", "restore", "1", f"{DIRECTORY}/both", "--to", "/tmp/both")
    assert read(a, "/tmp/both") == "only the last primary has this\n"
    done(a, "aside", "force", "restore", "1", f"{DIRECTORY}/own/\\xff\\x0aname", "--to", "/tmp/a\\x41 name")
    assert read(a, "/tmp/a\\x41 name") == "bytes"
    done(a, "aside", "force", "restore", "1", f"{DIRECTORY}/own", "--to", "/tmp/own")
    assert facts_but_times(a, "/tmp/own") == facts_but_times(a, "/tmp/as-it-was/own")
    assert a.run(["stat", "-c", "%Y", "/tmp/own/file"]) == "1000000000\n"
    done(a, "aside", "force", "restore", "1", DIRECTORY, "--to", "/tmp/all")
    assert facts_but_times(a, "/tmp/all") == facts_but_times(a, "/tmp/as-it-was")


def facts_but_times(node: RunningMachine, directory: str) -> list[str]:
    return [" ".join(w for i, w in enumerate(line.split(" ")) if i != 4) for line in facts(node, directory)]


def refuse_what_is_wrong(a: RunningMachine, b: RunningMachine) -> None:
    restore = ("aside", "force", "restore")
    for words in (
        (*restore, "7", DIRECTORY, "--to", "/tmp/none"),
        (*restore, "1", f"{DIRECTORY}/same", "--to", "/tmp/none"),
        (*restore, "1", "/srv/another/both", "--to", "/tmp/none"),
        (*restore, "1", f"{DIRECTORY}/both", "--to", "/tmp/nowhere/none"),
        (*restore, "1", f"{DIRECTORY}/both", "--to", f"{DIRECTORY}/none"),
        ("aside", "force", "show", "7"),
        ("aside", "force", "clear", "7", "--yes"),
        ("aside", "force", "clear", "1"),
        ("aside", "force", "give-up", "--yes", "a"),
        ("aside", "zz"),
    ):
        assert refused(a, *words).startswith(("mirrorfarm: ", "force: "))
    assert ask(a, *restore, "1", f"{DIRECTORY}/both").code == 2
    a.run(["sh", "-euc", "test ! -e /tmp/none; echo mine > /tmp/mine"])
    assert "is there already" in refused(a, *restore, "1", f"{DIRECTORY}/both", "--to", "/tmp/mine")
    assert read(a, "/tmp/mine") == "mine\n"
    # The other node has nothing, and says who has.
    assert "there is none" in refused(b, "aside", "force", "clear", "1", "--yes")
    elsewhere = done(b, "aside", "force")
    assert "nothing is set aside" in elsewhere and "on a: mirrorfarm aside force" in elsewhere
    assert len(asked(a, "aside", "force")["asides"]) == 1


def give_something_back(a: RunningMachine, b: RunningMachine) -> None:
    """To the application, on the node that has it, once that is the primary again."""
    done(b, "swap", "force")
    done(a, "wait", "force", "SECOND", "--node", "b")
    done(a, "aside", "force", "restore", "1", f"{DIRECTORY}/both", "--to", "/tmp/again")
    a.run(["cp", "/tmp/again", f"{DIRECTORY}/both"])
    assert read(b, f"{DIRECTORY}/both") == "only the last primary has this\n"
    assert "replicated" in refused(a, "aside", "force", "restore", "1", DIRECTORY, "--to", f"{DIRECTORY}/back")


def clear_it(a: RunningMachine, b: RunningMachine) -> None:
    done(a, "aside", "force", "clear", "1", "--yes")
    assert asked(a, "aside", "force")["asides"] == []
    end = time.monotonic() + 10
    while "set aside" in done(b, "state", "force"):
        assert time.monotonic() < end
    assert asked(a, "verify", "force")["differences_total"] == 0
    done(a, "stop", "force", "--node", "a")
    assert "mirrorfarm start force --node a" in refused(a, "aside", "force")


def test_what_has_no_room_is_left_as_it_is_until_an_operator_says(pair: Lab) -> None:
    a, b = pair.nodes
    apply(pair, '[resync]\nset_aside = "1 MiB"\n')
    done(a, "stop", "force")
    done(a, "start", "force")
    done(a, "wait", "force", "SECOND", "--node", "b")
    lose_last_primary(pair, a, b, "dd if=/dev/urandom of=own bs=1M count=3 status=none\necho of a > both\n")
    done(b, "prim", "force", "--node", "b", "--force", "--off", "a", "--yes", "b")
    change(b, "echo of b > both\n")
    pair.start("a")
    until_state(b, "a", "WAIT", "blocked", "set_aside_full")
    why = " ".join(done(a, "why", "force").split())
    assert "the next of it needs 3.0 MiB" in why and "mirrorfarm aside force give-up" in why
    assert "is yet to be set aside" in done(a, "aside", "force")
    assert read(a, f"{DIRECTORY}/both") == "of a\n"
    assert asked(a, "aside", "force")["asides"] == []

    # More room: what is configured counts from the module's next start there.
    apply(pair, '[resync]\nset_aside = "64 MiB"\n')
    done(a, "stop", "force", "--node", "a")
    done(a, "start", "force", "--node", "a", "--no-wait")
    done(b, "wait", "force", "SECOND", "--node", "a")
    [aside] = asked(a, "aside", "force")["asides"]
    items = asked(a, "aside", "force", "show", str(aside["number"]))["items"]
    assert {item["path"] for item in items} == {f"{DIRECTORY}/both", f"{DIRECTORY}/own"}
    assert asked(b, "verify", "force")["differences_total"] == 0


def test_what_a_node_alone_has_can_be_given_up(pair: Lab) -> None:
    a, b = pair.nodes
    keep_nothing = '[resync]\nset_aside = "0 GiB"\n'
    apply(pair, keep_nothing)
    done(a, "stop", "force")
    done(a, "start", "force")
    done(a, "wait", "force", "SECOND", "--node", "b")
    lose_last_primary(pair, a, b, "echo of a > both\n")
    fence = ("prim", "force", "--node", "b", "--force", "--fence", "--yes", "b")
    assert "no script fence" in refused(b, *fence)
    apply(pair, keep_nothing, "#!/bin/sh\necho no answer from the board of $FENCE_NODE\nexit 7\n")
    failed = refused(b, *fence)
    assert "script fence" in failed and "exit code 7" in failed and "no answer from the board of a" in failed
    until_state(b, "b", "WAIT", "blocked", "not_in_sync")
    apply(pair, keep_nothing, '#!/bin/sh\ntest "$FENCE_NODE" = a\n')
    done(b, *fence)
    assert asked(b, "history", "force")["entries"][0]["detail"].startswith("Off, says the script fence: a.")
    change(b, "echo of b > both\n")
    pair.start("a")
    until_state(b, "a", "WAIT", "blocked", "set_aside_full")
    before = asked(a, "aside", "force")["asides"]
    refused(a, "aside", "force", "give-up")
    assert "node a" in refused(a, "aside", "force", "give-up", "--yes", "b")
    assert read(a, f"{DIRECTORY}/both") == "of a\n"
    done(a, "aside", "force", "give-up", "--yes", "a")
    done(b, "wait", "force", "SECOND", "--node", "a")
    assert read(a, f"{DIRECTORY}/both") == "of b\n"
    assert asked(a, "aside", "force")["asides"] == before
    assert asked(b, "verify", "force")["differences_total"] == 0


def until(node: RunningMachine, *command: str, seconds: float = 60.0) -> None:
    """``command`` succeeds on ``node``."""
    end = time.monotonic() + seconds
    while subprocess.run(node.command(list(command)), capture_output=True).returncode:
        assert time.monotonic() < end, command
        time.sleep(0.2)


def test_a_copy_that_a_join_left_half_made_is_not_offered_and_a_backup_begins_anew(pair: Lab) -> None:
    """The last one: the module is another one of its name after it."""
    a, b = pair.nodes
    apply(pair, '[resync]\nbandwidth = "1 MiB/s"\n')
    done(a, "stop", "force")
    done(a, "start", "force")
    done(a, "wait", "force", "SECOND", "--node", "b")
    done(a, "stop", "force", "--node", "b")
    done(a, "wait", "force", "ALONE", "--node", "a")
    change(a, "dd if=/dev/urandom of=big bs=1M count=60 status=none\n")
    done(a, "start", "force", "--node", "b", "--no-wait")
    until(b, "test", "-e", f"{DIRECTORY}/.mirrorfarm/joining")
    pair.crash("a", power=True)
    until_state(b, "b", "WAIT", "blocked", "disk_identity_missing")
    why = " ".join(done(b, "why", "force").split())
    assert "a holds every completed write. Bring it back" in why and "a backup is all there is" in why
    assert "--force" not in why
    force = ("prim", "force", "--node", "b", "--force", "--off", "a", "--yes", "b")
    assert "being brought in sync when that broke off" in refused(b, *force)
    assert "missing on b" not in refused(b, *force), "nothing is shown, and nobody asked, for what is not done"
    done(b, "restart", "force", "--node", "b")
    until_state(b, "b", "WAIT", "blocked", "disk_identity_missing")

    begin_anew(b)
    assert read(b, f"{DIRECTORY}/both") == "of the backup\n"
    pair.start("a")
    until_state(b, "a", "WAIT", "blocked", "disk_of_other_cluster")
    assert a.run(["stat", "-c", "%s", f"{DIRECTORY}/big"]) == f"{60 << 20}\n"


def begin_anew(b: RunningMachine) -> None:
    """As docs/operations.md says where no whole copy is left."""
    done(b, "stop", "force", "--node", "b")
    b.run(["rm", "-rf", "/root/force"])
    done(b, "module", "export", "force", "/root/force")
    done(b, "module", "remove", "force", "--gone", "a", "--yes")
    b.run(["find", DIRECTORY, "-mindepth", "1", "-delete"])
    b.run(["sh", "-euc", f"echo of the backup > {DIRECTORY}/both"])
    done(b, "module", "apply", "/root/force")
    done(b, "start", "force", "--no-wait")
    end = time.monotonic() + 60
    while ask(b, "prim", "force", "--node", "b", "--yes", "b").code:  # its replicator is being started
        assert time.monotonic() < end
        time.sleep(0.5)
    done(b, "wait", "force", "ALONE", "--node", "b")
