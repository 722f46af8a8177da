"""``mirrorfarm why`` of a mirror in each situation: what it says, why that, and what to do. One table.

Each situation is what the shipped code makes of it, from a node's core to the printed line (``situations``).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from agent.api_view import LocalState
from agent.core import events as e
from manager.model.codec import encode
from manager.model.config.module_config import AfterPowerLoss, Failover
from manager.model.control import Difference, Progress, Scope
from manager.model.reasons import Reason
from manager.model.records import (
    BOOT,
    OFF,
    STOPPED_AT,
    DesiredRecord,
    HistoryRecord,
    InsyncRecord,
    KnownNode,
    MemberRecord,
    ModuleConfigRecord,
    NodeRecord,
)
from manager.model.refused_streams import HERE, NOBODY, THERE, RefusedStream
from manager.model.states import Run
from manager.model.verify_record import Compared, Differing, VerifyRecord
from manager.model.versions import SPEAKS, RecordVersion
from manager.store.api import Delete, Txn
from tests.unit.agent.core.desk import CLUSTER, KEYS, OTHER_LEASE, Desk
from tests.unit.agent.core.test_depending import WAITS, MirrorDesk
from tests.unit.agent.core.test_forcing import ALONE_HERE, ASKED, WAITING
from tests.unit.agent.core.test_scenarios import ALONE, PRIM, SECOND, START
from tests.unit.agent.core.test_standing import OFF as FAILOVER_OFF
from tests.unit.agent.core.test_standing import REBOOTED
from tests.unit.agent.core.test_vouching import REPLACED
from tests.unit.manager.cli.named_commands import wrong_commands
from tests.unit.manager.cli.situations import Scene, is_published, published

SINCE = "2026-11-26T03:00:00Z"


def played(*scripts: str, **settings: object) -> Desk:
    """Node ``a``, after the scripts."""
    desk = Desk(**settings)
    for script in scripts:
        desk.play(script)
    return desk


def refused(kind: str, by: str, reason: str = "why", node: str = "b", address: str = "10.0.0.2") -> LocalState:
    """This node's replicator says so."""
    return LocalState(refused=(RefusedStream(node, address, kind, reason, by, SINCE, 37),))


# Scenes


def _stopped(switches: dict[str, str] | None = None) -> Scene:
    desk = played()
    desk.put(KEYS.desired("a"), encode(DesiredRecord(Run.STOPPED, switches or {})))
    return Scene(desk)


def _never_started() -> Scene:
    desk = played()
    desk.etcd.commit_now(Txn(then=(Delete(KEYS.desired("a")),)))
    return Scene(desk)


def _first_start(**settings: str) -> Scene:
    return Scene(played(START, "hello ->\nis WAIT blocked no_data_named", **settings))


def _initial_primary() -> Scene:
    return replace(_first_start(initial_primary="a"), toml='initial_primary = "a"')


def _history(scene: Scene, entry: HistoryRecord) -> Scene:
    scene.desk.put(KEYS.history(entry.epoch), encode(entry))
    return scene


def _holder_is(run: Run) -> Scene:
    desk = played(WAITING)
    desk.put(KEYS.desired("b"), encode(DesiredRecord(run)))
    return Scene(desk)


def _holder_cannot_start() -> Scene:
    """``b`` has everything, and its replicator fails again and again."""
    broken = played(SECOND, "gone ->\nwait 1 -> StartReplicator\ngone ->\nwait 2 -> StartReplicator\ngone ->")
    return is_published(Scene(played(WAITING)), published(broken))


def _alone(script: str = "", node: str = "a", local: LocalState | None = None) -> Scene:
    desk = played(ALONE)
    if script:
        desk.play(script)
    return Scene(desk, local or LocalState(refused=()), node=node)


def _alone_without(local: LocalState) -> Scene:
    """``b`` follows, and its stream does not come about."""
    return is_published(_alone("b_is WAIT 1 -> Peer", local=local), _follows(1))


def _beside(software: str, *, version: int = 1, **speaks: tuple[int, int]) -> Scene:
    """A pair whose other node's agent is of that release, and speaks otherwise where it is said."""
    scene = Scene(played(PRIM), LocalState(refused=()))
    registration = NodeRecord(
        "b", (), software, "boot-b", "i-b", 1, dict(SPEAKS) | speaks, version=RecordVersion(version)
    )
    scene.desk.put(CLUSTER.node("b"), encode(registration), OTHER_LEASE)
    return scene


def _follows(epoch: int) -> MemberRecord:
    """Of ``b``, which waits for the primary's stream."""
    return published(played(f"record {epoch} b\ndisk {epoch}\n{START}\nb_leads {epoch} ->\nhello -> follow b {epoch}"))


def _beside_later_copy(node: str) -> Scene:
    """``a`` serves; the disk of ``b`` has seen what this etcd does not know of."""
    later = played("record 1 b,a\ndisk 9\n" + START + "b_leads 1 ->\nhello ->\nis WAIT blocked store_went_back")
    return is_published(_alone(node=node), published(later))


def _catching_up(local: LocalState) -> Scene:
    desk = played(f"record 3 b\ndisk 3\n{START}\nb_leads 3 ->\nhello -> follow b 3")
    return is_published(Scene(desk, local), published(played(ALONE)))


def _alarm() -> Scene:
    scene = Scene(played(PRIM), LocalState(refused=()))
    alarm = Differing(3, SINCE, "a", "schedule", (Difference("/srv/db/f", "content", "1", "2"),))
    record = VerifyRecord(last=Compared(SINCE, SINCE, "a", "schedule", 10, 1 << 20, 3), alarm=alarm)
    scene.desk.put(KEYS.verify, encode(record))
    return scene


def _secondary(toml: str = "") -> Scene:
    return is_published(Scene(played(SECOND), LocalState(refused=()), toml=toml), published(played(PRIM)))


def _in_maintenance() -> Scene:
    scene = _secondary()
    scene.desk.put(KEYS.desired("b"), encode(DesiredRecord(Run.STARTED, {"failover": OFF})))
    return scene


def _away_with_power(**settings: object) -> Scene:
    return Scene(played(REBOOTED, "leaves b ->", **settings))


def _refused_force(script: str) -> Scene:
    return Scene(played(ALONE_HERE, script))


def _flapping() -> Scene:
    desk = played(PRIM)
    for _ in range(3):
        desk.play("lost -> commit record\nsettle -> settled a; Peer\nconnected ->\ncomplete ->")
        while desk.commit is None:
            desk.do_lease()
            desk.do_wait("3")
        desk.do_settle()
    desk.play("lost -> commit record\nsettle -> settled a; Peer\nconnected ->")
    return is_published(Scene(desk, LocalState(refused=())), _follows(1))


def _elsewhere_by_an_operator() -> Scene:
    desk = played(PRIM)
    record = desk.state.insync
    assert record is not None
    desk.put(KEYS.insync, encode(replace(record.record, because="swap")))
    return Scene(desk, LocalState(refused=()), toml='preferred_primary = "b"')


def _goes_back() -> Scene:
    back = """
        lease ->
        wait 6 ->
        lease ->
        wait 4.1 -> StopApplication
        app_stopped -> DropAddresses
        dropped -> Freeze
        frozen ->
    """
    return Scene(played(PRIM, back, preferred_primary="b"), LocalState(refused=()), toml='preferred_primary = "b"')


def _application_failed() -> Scene:
    desk = played(ALONE, "request restart r2 -> answer accepted; StopApplication\napp_stopped -> StartApplication")
    desk.do_app_failed()
    desk.do_app_stopped()
    return Scene(desk, LocalState(detail="start_prim: exit code 1", refused=()))


def _not_prepared() -> Scene:
    desk = played("lease ->\nheard ->\nsee -> Prepare")
    desk.give(e.PrepareFailed("prestart: exit code 2"))
    return Scene(desk, LocalState(detail="prestart: exit code 2"))


def _address_in_use() -> Scene:
    to_the_address = ALONE[: ALONE.index("added")]
    desk = played(to_the_address)
    desk.do_in_use()
    desk.do_dropped()
    desk.do_serving()
    desk.do_settle()
    return Scene(desk, LocalState(detail="52:54:00:00:00:01 answers for 10.0.0.9", refused=()))


def _waits_for_other() -> Scene:
    desk = MirrorDesk()
    desk.play(WAITS)
    other = CLUSTER.module("other")
    toml = 'name = "other"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/other"]\n'
    desk.put(other.config, encode(ModuleConfigRecord("m2", 1, toml, {}, "", "")))
    for node in ("a", "b"):
        desk.put(other.desired(node), encode(DesiredRecord(Run.STOPPED)))
    return Scene(desk, LocalState(refused=()), toml='depends = ["other"]')


def _replicator_fails(detail: str, times: int) -> Scene:
    script = "gone ->\nwait 1 -> StartReplicator\ngone ->\nwait 2 -> StartReplicator\ngone ->"
    return Scene(played(SECOND, "\n".join(script.splitlines()[: 2 * times - 1])), LocalState(detail=detail))


def _setting_aside(script: str, detail: str = "") -> Scene:
    desk = played(f"disk 5\n{START}\nhello ->")
    desk.put(KEYS.insync, encode(InsyncRecord(6, 60, "b", (), because="forced_by_operator", decided=6)))
    desk.play(f"b_leads 6 -> follow b 6 diverged\nfollowing ->\n{script}")
    return Scene(desk, LocalState(detail=detail, refused=()))


def _unreadable() -> Scene:
    desk = played(START, "hello ->\nrequest prim -> answer accepted; commit elect")
    desk.put(KEYS.insync, '{"of": "a newer release"}')
    desk.play("settle ->")
    return Scene(desk)


def _wished_by_hand() -> Scene:
    scene = Scene(played(START), LocalState(refused=()))
    scene.desk.put(KEYS.desired("a"), "startd")
    return scene


def _without_etcd(script: str, base: str) -> Scene:
    return Scene(played(base, script), LocalState(refused=()), reachable=False)


def _address_of_a_node() -> Scene:
    """The secondary is told who connects by the address alone."""
    scene = _catching_up(refused("tls_expired", HERE, node="", address="10.0.0.2"))
    scene.desk.put(CLUSTER.known("b"), encode(KnownNode("b", ("10.0.0.2",), "boot-b", SINCE)))
    return scene


def _syncing() -> Scene:
    progress = Progress("join", "b", 10, 1 << 20, 1 << 19, 4 << 20, 1000, Scope.CHANGES)
    scene = _alone("b_is WAIT 1 -> Peer\nconnected ->", local=LocalState(progress=progress, refused=()))
    return is_published(scene, _follows(1))


def _taken_over() -> Scene:
    entry = HistoryRecord(2, "a", "b", Reason.PRIMARY_LOST, SINCE)
    return _history(_alone("leaves b ->"), entry)


@dataclass(frozen=True)
class Row:
    """A situation, what is said of it, and what to do."""

    situation: str
    scene: Callable[[], Scene]
    says: tuple[str, ...]
    """The head, the cause, and the causes behind it."""
    todo: tuple[str, ...]
    """Empty: there is nothing to do, and nothing is said."""
    never: tuple[str, ...] = field(default=())


UP = "see whether b is up, and start its agent there: /etc/init.d/mirrorfarm-agent start"
B_BACK = f"S{UP[1:]} (or systemctl start mirrorfarm-agent). It catches up by itself when it is back."
TABLE = (
    Row(
        "an operator stopped it", _stopped,
        ("db on a: STOP, ready", "An operator stopped it."), ("mirrorfarm start db --node a",),
    ),
    Row(
        "it was never started", _never_started,
        ("db on a: STOP, ready", "It has not been started since it was applied."), ("mirrorfarm start db",),
    ),
    Row(
        "it is not started at boot", lambda: _stopped({STOPPED_AT: SINCE, BOOT: OFF}),
        ("the module is not started with it (boot off)", "db: boot off"),
        ("mirrorfarm start db --node a", "mirrorfarm boot prev -m db --node a"),
    ),
    Row(
        "the first start", _first_start,
        ("db on a: WAIT, blocked", "nobody has said yet which node has the good data"),
        ("mirrorfarm prim db --node NODE",),
    ),
    Row(
        "the first start, with initial_primary, while the other node is not there", _initial_primary,
        ("the configuration has a serve first", "not started: b"), ("mirrorfarm prim db --node NODE",),
    ),
    Row(
        "stale, and the node with the good data is stopped", lambda: _holder_is(Run.STOPPED),
        (
            "db on a: WAIT, blocked", "Its copy may lack completed writes",
            "there is no primary; it was primary last, and holds every completed write: b is STOP: An operator stopped",
        ),
        ("b holds every completed write.", "mirrorfarm start db --node b"), ("--force",),
    ),
    Row(
        "stale, and the node with the good data is away", lambda: Scene(played(ALONE_HERE)),
        ("holds every completed write: b is unknown: its agent is not registered in etcd.",),
        ("Bring it back: see whether it is up", "Only if b is gone for good: mirrorfarm prim db --node a --force"),
    ),
    Row(
        "stale, and the node with the good data cannot start", _holder_cannot_start,
        ("holds every completed write: b is WAIT, blocked: The process that replicates",),
        ("mirrorfarm --node b why db says more.", "mirrorfarm restart db --node b"), ("--force",),
    ),
    Row(
        "alone: the other node is away", lambda: _alone("leaves b ->"),
        ("db on a: ALONE (one copy), ready", "there is one copy of the data", "Why that: b is unknown: its agent"),
        (B_BACK,),
    ),
    Row(
        "alone: the other node is stopped", lambda: _alone("desired b stopped ->"),
        ("Why that: b is STOP: An operator stopped it.",), ("mirrorfarm start db --node b",),
    ),
    Row(
        "alone, the other node is brought in sync", _syncing,
        ("Why that: b is WAIT, transient: What this node lacks is copied", "db: b is brought in sync: of what changed"),
        ("Nothing: b catches up by itself", "mirrorfarm wait db SECOND"),
    ),
    Row(
        "alone: the other node's disk has seen more", lambda: _beside_later_copy("a"),
        ("Why that: b is WAIT, blocked: etcd knows less than this node's disk has seen",),
        ("what was set aside there: mirrorfarm aside db", "stop db --node b, remove the directory .mirrorfarm",
         "restart its agent, and mirrorfarm start db --node b"),
        ("start the module there again",),
    ),
    Row(
        "its disk has seen more than the primary", lambda: _beside_later_copy("b"),
        ("db on b: WAIT, blocked", "Why that: the primary: a is ALONE (one copy)"),
        ("a serves, and the disk of b has seen what etcd does not know of", "mirrorfarm stop db --node b"),
    ),
    Row(
        "the primary took over after a crash", _taken_over,
        (f"Last take-over: a at {SINCE}. The primary before it was not heard of any more",), (B_BACK,),
    ),
    Row(
        "a pair that is well", lambda: Scene(played(PRIM), LocalState(refused=())),
        ("db on a: PRIM, ready", "every completed write is on both nodes", "a, b (2 copies)"), (), ("Why that",),
    ),
    Row(
        "the copies were found to differ", _alarm,
        ("db on a: PRIM, ready", f"the copies differ: 3 differences found on {SINCE} by a: /srv/db/f (content), ..."),
        ("mirrorfarm verify db on the primary", "mirrorfarm verify db --repair", "mirrorfarm swap db --node a"),
    ),
    Row(
        "a secondary that is in sync", _secondary,
        ("db on a: SECOND, ready", "and takes over when the primary fails."), (), ("failover is off",),
    ),
    Row(
        "a secondary in maintenance", _in_maintenance,
        ("failover is off, so that it does not take over by itself", "db: maintenance: no node takes over"), (),
        ("takes over when the primary fails",),
    ),
    Row(
        "a secondary without failover", lambda: _secondary('failover = "off"'),
        ("failover is off, so that it does not take over by itself", "failover is off by its configuration"), (),
        ("takes over when the primary fails",),
    ),
    Row(
        "failover is off, and the last primary is away",
        lambda: Scene(played(FAILOVER_OFF, failover=Failover.OFF), toml='failover = "off"'),
        ("db on a: WAIT, blocked", "Failover is off", "Why that: there is no primary; it was primary last"),
        (
            "b was primary last, and becomes it again by itself.", "mirrorfarm prim db --node a",
            'failover = "on" in module.toml, mirrorfarm module apply DIR',
        ),
    ),
    Row(
        "power was lost, and the other node stays away", _away_with_power,
        ("db on a: WAIT, transient", "has lost what was only in its memory", "b is unknown"),
        ("a serves by itself within the next minute",),
    ),
    Row(
        "power was lost, and the configuration waits",
        lambda: _away_with_power(after_power_loss=AfterPowerLoss.WAIT),
        ("db on a: WAIT, blocked", "so it may lack writes that were not fsynced"),
        ("Bring b back", "mirrorfarm prim db --node a"),
    ),
    Row(
        "a follower without etcd", lambda: _without_etcd("stream_lost ->\nwait 10 ->", SECOND),
        ("etcd does not answer this node: what follows is", "etcd does not answer this node, or has no majority"),
        ("Until etcd answers nothing can be decided", "mirrorfarm check"),
    ),
    Row(
        "a primary that outlives etcd", lambda: _without_etcd("silent ->" + 60 * "\nwait 1 ->", ALONE),
        ("db on a: ALONE (one copy), ready", "It serves although etcd does not answer"),
        ("Nothing for the application, which runs on.", "mirrorfarm check"),
    ),
    Row(
        "etcd is another one", lambda: Scene(played(REPLACED)),
        ("db on a: WAIT, blocked", "it was rebuilt, or restored from a backup", "a: its copy is of epoch 3"),
        ("docs/operations.md", "mirrorfarm prim db --node NODE"),
        ("Every completed write is on",),
    ),
    Row(
        "etcd went back",
        lambda: Scene(played("record 3 a,b\ndisk 4", START, "hello ->\nis WAIT blocked store_went_back")),
        ("etcd knows less than this node's disk has seen",), ("mirrorfarm prim db --node NODE",),
    ),
    Row(
        "the disk is another cluster's",
        lambda: Scene(played("record 3 a,b\ndisk 3 other", START, "hello ->\nis WAIT blocked disk_of_other_cluster")),
        ("belongs to another cluster, another module or another node",),
        ("mirrorfarm stop db --node a", "remove the directory .mirrorfarm", "mirrorfarm start db --node a"),
        ("mirrorfarm restart db",),
    ),
    Row(
        "the disk is empty",
        lambda: Scene(played("record 3 a,b\ndisk none", START, "hello ->\nis WAIT blocked disk_identity_missing")),
        ("it was replaced, is not mounted", "there is no primary; it was primary last"),
        ("mirrorfarm stop db --node a", "mirrorfarm start db --node a"), ("mirrorfarm restart db --node a",),
    ),
    Row(
        "there is no whole copy, and the node that has one is away",
        lambda: Scene(played("record 3 b\ndisk none", START, "hello ->\nleaves b ->")),
        ("Why that: there is no primary; it was primary last, and holds every completed write: b is unknown",),
        ("cannot be forced", "a backup is all there is"), ("--force",),
    ),
    Row(
        "a forced start was refused: nobody says that the other is off",
        lambda: _refused_force(f"request prim r1 not_in_sync -> {ASKED}\nprobed -> answer refused not_confirmed_off"),
        ("to a, by root: prim: refused", "Nobody has said, by its name", "b did not answer at 10.0.0.2, fd00::2."),
        ("turned off, then: mirrorfarm prim db --node a --force",),
    ),
    Row(
        "a forced start was refused: the other node answers",
        lambda: _refused_force(
            f"request prim r1 not_in_sync off=b -> {ASKED}\n"
            "probed 10.0.0.2_answers_a_ping -> answer refused last_primary_answers"
        ),
        ("answers on the network, so that it is not off", "b: 10.0.0.2 answers a ping."),
        ("Start its agent and the module there.",),
    ),
    Row(
        "a forced start was refused: the other node's agent is there",
        lambda: Scene(played(WAITING, "request prim r1 not_in_sync off=b -> answer refused last_primary_registered")),
        ("it is alive, or was until a moment ago",), ("mirrorfarm why db --node NODE, with its name",),
    ),
    Row(
        "the other node is lost again and again", _flapping,
        ("db on a: ALONE (one copy), ready", "b was lost", "once it has been connected for"),
        ("Nothing, if its stream stays up for 24 s", "mirrorfarm logs db on b"),
    ),
    Row(
        "the other node is being dropped", lambda: Scene(played(PRIM, "lost -> commit record"), LocalState(refused=())),
        ("db on a: PRIM, transient", "writes are held until it is taken out"), ("mirrorfarm check",),
    ),
    Row(
        "it has promised not to stand",
        lambda: Scene(played(SECOND, "asked 3 -> Promise\nb_is_gone ->")),
        ("db on a: SECOND, transient", "not to take over"), ("Nothing: within the lease's time",),
    ),
    Row(
        "it has promised not to stand, and failover is off",
        lambda: Scene(played(SECOND, "asked 3 -> Promise\nb_is_gone ->"), toml='failover = "off"'),
        ("not to take over",), ("Else it becomes the primary again by itself", "mirrorfarm prim db --node a"),
        ("or this node takes over",),
    ),
    Row(
        "the stream from the primary is lost", lambda: Scene(played(SECOND, "stream_lost ->")),
        ("db on a: SECOND, transient", "The stream from the primary is not connected"),
        ("Nothing: by itself",),
    ),
    Row(
        "the last primary goes first", lambda: Scene(played("record 3 a,b b\ndisk 3", START, "hello ->")),
        ("db on a: WAIT, transient", "The last primary is there, and goes first."), ("within seconds it serves",),
    ),
    Row(
        "the preferred node goes first",
        lambda: Scene(played("record 3 a,b a\ndisk 3", START, "hello ->", preferred_primary="b")),
        ("The node that the configuration prefers is there",), ("within seconds it serves",),
    ),
    Row(
        "an operator has put it elsewhere than where it is preferred", _elsewhere_by_an_operator,
        ("the configuration prefers b as the primary; an operator has put it on a",), (),
    ),
    Row(
        "it goes back to the preferred node", _goes_back,
        ("db on a: PRIM, transient", "It is handing the application over", "the configuration prefers b"),
        ("Nothing: when its application has stopped",),
    ),
    Row(
        "the application failed", _application_failed,
        ("db on a: ALONE (one copy), blocked", "The application could not be started", "start_prim: exit code 1"),
        ("mirrorfarm logs db --script start_prim on a", "mirrorfarm restart db --node a"),
    ),
    Row(
        "the application cannot be prepared", _not_prepared,
        ("db on a: WAIT, blocked", "prestart: exit code 2"), ("mirrorfarm restart db --node a",),
    ),
    Row(
        "somebody has the virtual address", _address_in_use,
        ("db on a: ALONE (one copy), blocked", "Another machine answers", "52:54:00:00:00:01 answers for 10.0.0.9"),
        ("mirrorfarm restart db --node a",),
    ),
    Row(
        "a module that it depends on serves nowhere", _waits_for_other,
        (
            "db on a: ALONE (one copy), transient", "once other serves.",
            "Why that: other: a is STOP: An operator stopped it.",
        ),
        ("mirrorfarm why other", "Of other: To start it: mirrorfarm start other --node a"),
    ),
    Row(
        "its replicator fails", lambda: _replicator_fails("/srv/db: not a directory", 3),
        ("db on a: WAIT, blocked", "/srv/db: not a directory"),
        ("mirrorfarm check on a", "mirrorfarm restart db --node a"),
    ),
    Row(
        "the disk is full", lambda: _replicator_fails("[Errno 28] No space left on device: '/srv/db'", 3),
        ("No space left on device",), ("A file system of a is full: free space",),
    ),
    Row(
        "what differs is being set aside", lambda: _setting_aside("aside keeping ->"),
        ("db on a: WAIT, transient", "What differs here is being set aside"), ("mirrorfarm aside db on a",),
    ),
    Row(
        "there is no room to set aside",
        lambda: _setting_aside("aside keeping ->\naside full ->", "12.0 GiB, and 10.0 GiB may be"),
        ("db on a: WAIT, blocked", "there is no room to set aside", "12.0 GiB"),
        ("mirrorfarm aside db clear N", "mirrorfarm aside db give-up"),
    ),
    Row(
        "what differs cannot be set aside",
        lambda: _setting_aside("aside keeping ->\naside failed ->", "input/output error"),
        ("db on a: WAIT, blocked", "could not be set aside", "input/output error"), ("look at that disk",),
    ),
    Row(
        "the lease was lost",
        lambda: Scene(played(PRIM, "wait 8.9 ->\nwait 0.2 -> kill lease_lost")),
        ("db on a: WAIT, transient", "could not renew its lease in time"), ("mirrorfarm check on a",),
    ),
    Row(
        "a full stop", lambda: Scene(played(SECOND, "b_is PRIM 3 ->\nstop_all ->")),
        ("db on a: SECOND, transient", "as soon as the primary writes nothing more"), ("Nothing: it ends by itself",),
    ),
    Row(
        "etcd has not answered whether it stands",
        lambda: Scene(played(PRIM, "lost -> commit record\nunknown lost ->"), LocalState(refused=())),
        ("was sent to etcd and not answered",), ("Nothing, if etcd answers again",),
    ),
    Row(
        "a newer release wrote a record", _unreadable,
        ("db on a: WAIT, blocked", "does not understand", "etcd's key /mirrorfarm/test/modules/db/insync is not"),
        ("install the same release", "docs/operations.md, A key is not understood"),
    ),
    Row(
        "its configuration was written by hand, and no agent has understood one",
        lambda: replace(_never_started(), config="name = db"),
        ("db on a: unknown", "on which nodes it is to run is not known",
         "key /mirrorfarm/test/modules/db/config is not understood (ModuleConfigRecord: not JSON"),
        ("mirrorfarm module apply DIR, with the module's folder, writes it anew",), ("is not a node of",),
    ),
    Row(
        "what is wanted was written by hand", lambda: Scene(played(PRIM, "spoil desired/a ->"), LocalState(refused=())),
        ("db on a: PRIM, ready", "key /mirrorfarm/test/modules/db/desired/a is not understood (DesiredRecord: not JSON",
         "the last wish that was understood counts"),
        ("mirrorfarm start db --node a (or stop) writes it anew",),
    ),
    Row(
        "what is wanted of a module that does not run was written by hand", _wished_by_hand,
        ("modules/db/desired/a is not understood (DesiredRecord: not JSON", "Wanted here: not known"),
        ("mirrorfarm start db --node a (or stop) writes it anew",),
    ),
    Row(
        "a swap was asked for where there is no secondary",
        lambda: _alone("request swap r2 -> answer refused no_secondary"),
        ("to a, by root: swap: refused", "There is no secondary to hand over to"), ("mirrorfarm wait db SECOND",),
    ),
    Row(
        "nothing is known of the other node", lambda: _alone("leaves b ->", node="b"),
        ("db on b: unknown", "Nothing is known of it: its agent is not registered in etcd."),
        (f"What to do: S{UP[1:]}",),
    ),
    # Streams that are refused
    Row(
        "a's certificate is over, as b finds", lambda: _catching_up(refused("tls_expired", HERE)),
        (f"db: a refuses the stream of b since {SINCE}, 37 times: the certificate of b is over, or the clock of a is",),
        ("mirrorfarm pki renew b, on the machine with the cluster's authority", "set the clock of a"),
        ("it is then up to date by itself",),
    ),
    Row(
        "a's own certificate is over, as b says",
        lambda: _alone_without(refused("tls_told_expired", THERE)),
        (f"db: b refuses the stream of a since {SINCE}, 37 times: the certificate of a is over, or the clock of b is",),
        ("mirrorfarm pki renew a", "set the clock of b"), ("catches up by itself",),
    ),
    Row(
        "who connects is known by its address", _address_of_a_node,
        ("a refuses the stream of b since",), ("mirrorfarm pki renew b",),
    ),
    Row(
        "who connects is nobody's",
        lambda: _catching_up(refused("tls_no_certificate", HERE, node="", address="10.9.9.9")),
        ("a refuses the stream of whoever connects from 10.9.9.9",), ("Nothing: it is then up to date",),
    ),
    Row(
        "a certificate was revoked", lambda: _catching_up(refused("tls_revoked", HERE)),
        ("the certificate of b is revoked",), ("mirrorfarm pki issue b",),
    ),
    Row(
        "another cluster's certificate", lambda: _catching_up(refused("tls_stranger", HERE)),
        ("was not signed by the authority that a knows: it is another cluster's",),
        ("mirrorfarm pki show, on b and on a", "mirrorfarm pki renew b"),
    ),
    Row(
        "another node's certificate", lambda: _alone_without(refused("identity", HERE)),
        ("the certificate of b is good, and that of another cluster or node",), ("mirrorfarm pki show",),
    ),
    Row(
        "tls.mode differs: this node takes TLS only", lambda: _catching_up(refused("tls", HERE)),
        ("b connects in plain, and a takes TLS only: tls.mode differs",),
        ("/etc/mirrorfarm/agent.toml", "mirrorfarm stop db --node NODE", "mirrorfarm start db --node NODE"),
    ),
    Row(
        "tls.mode differs: this node takes plain only", lambda: _catching_up(refused("plain_only", HERE)),
        ("b connects by TLS, and a takes plain connections only",), ("/etc/mirrorfarm/agent.toml",),
    ),
    Row(
        "this node has no certificate", lambda: _alone_without(refused("tls_unusable", HERE)),
        ("a has no certificate of its own that is good",), ("On a: mirrorfarm check", "mirrorfarm pki issue a"),
    ),
    Row(
        "the other node does not say why", lambda: _alone_without(refused("tls_closed", NOBODY)),
        ("no stream with b since", "b ends each connection before the stream begins"), ("On b: mirrorfarm why db",),
    ),
    Row(
        "the other node is silent",
        lambda: _alone_without(refused("silent", NOBODY, address="10.0.0.2:47")),
        ("b takes the connection, or makes one, and says nothing",), ("no firewall drops what goes to 10.0.0.2:47",),
    ),
    Row(
        "a kind that a newer release says",
        lambda: _alone_without(refused("tls_solar", HERE, "a \x1b[31mflare")),
        ("a refuses the stream of b", "a \\x1b[31mflare"), ("On b: mirrorfarm why db",),
    ),
    Row(
        "no version of the protocol in common",
        lambda: _alone_without(refused("version", THERE, "refused: version: a speaks 1, b 2 to 3")),
        ("b refuses the stream of a", "a and b have no version of the protocol in common: a speaks 1, b 2 to 3"),
        ("mirrorfarm stop db --node NODE", "A new release"),
    ),
    # Releases
    Row(
        "the other node's agent is of a newer release that goes with this one's",
        lambda: _beside("1.1", records=(1, 2)),
        ("the nodes run different releases: a 1, b 1.1; they go together.",),
        ("Go on with the upgrade, one node after the other: /etc/init.d/mirrorfarm-agent upgrade",),
    ),
    Row(
        "the other node's agent is of a release that does not go with this one's",
        lambda: _beside("2.0", records=(2, 2), stream=(3, 4)),
        (
            "b runs release 2.0, a release 1, and they do not go together. They have no version in common of what "
            "stands in etcd: the agent that comes second is not registered, and starts nothing; the stream: neither",
        ),
        ("What to do about the releases: Install a release on a or b that goes with the others'",),
        ("they go together.",),
    ),
    Row(
        "the other node's registration is of a version that is not read", lambda: _beside("2.0", version=2),
        ("b runs a release that is not understood here, a release 1, and they do not go together.",),
        ("What to do about the releases",),
    ),
    Row(
        "it is not known whether a stream is refused", lambda: _catching_up(LocalState()),
        ("Whether a stream is refused here is not known",), ("mirrorfarm wait db SECOND --node a",),
    ),
)  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.situation)
def test_why(row: Row) -> None:
    text = row.scene().why()
    for said in (*row.says, *row.todo):
        assert said in text, f"{said!r} is not in:\n{text}"
    assert ("What to do" in text) is bool(row.todo), text
    for word in row.never:
        assert word not in text, f"{word!r} is in:\n{text}"
    assert not wrong_commands(text), text
    assert "The cause is not known" not in text and "The agent says" not in text


def test_there_are_thirty_and_no_two_are_the_same() -> None:
    assert len({row.situation for row in TABLE}) == len(TABLE) >= 30


def test_state_says_of_releases_what_why_does() -> None:
    assert "the nodes run different releases: a 1, b 1.1; they go together." in _beside("1.1").state()
    assert "they do not go together" in _beside("1", probes=(9, 9)).state()
    assert "release" not in _beside("1").state()


@pytest.mark.parametrize("kind", ["tls_expired", "tls", "silent"])
def test_state_says_it_too(kind: str) -> None:
    scene = _catching_up(refused(kind, HERE))
    assert f"since {SINCE}, 37 times: " in scene.state()
    assert "37 times" not in _catching_up(LocalState(refused=())).state()
