"""S3, S5, S6, S8 and S12, as the shell keeps them: what is on a disk before something else counts."""

from agent.core.following import follow
from agent.runtime.lease_keeper import LeaseKeeper
from agent.runtime.module_runtime import ModuleRuntime
from agent.runtime.promise_file import PromiseFile
from agent.runtime.replicator_hand import ReplicatorHand
from agent.runtime.store_hand import StoreHand
from replicator.applier import Applier
from replicator.commands import Commands
from replicator.finishing import Finishing
from replicator.fsyncing import Fsyncing
from replicator.join_receiver import JoinReceiver
from replicator.primary import Primary
from replicator.role_notes import RoleNotes
from replicator.roles import Roles
from replicator.runtime import Runtime
from replicator.secondary import Secondary
from tests.unit.broken.variant import Cut, Variant

_VOUCHED = "unit/agent/core/test_vouching.py"
_SECONDARY = "unit/replicator/test_secondary.py"
_ROLES = "unit/replicator/test_roles.py"
_ROLE_NOTES = "unit/replicator/test_role_notes.py"
_RECEIVER = "unit/replicator/test_join_receiver.py"
_TRACKING = "unit/replicator/test_secondary_tracking.py"
_DIVERGED = "unit/replicator/test_secondary_diverged.py"
_RUNTIME = "unit/replicator/test_runtime.py"
_FSYNCING = "unit/replicator/test_fsyncing.py"
_LEASE = "unit/agent/runtime/test_lease_keeper.py"
_PROMISE = "unit/agent/runtime/test_promise_file.py"
_HAND = "unit/agent/runtime/test_replicator_hand.py"
_NOTED = "bases = await parts.loop.run_in_executor(None, self.notes.follow, command)"
_SERVED = "tracker = await parts.loop.run_in_executor(None, self.notes.serve, command)"
_ENDS = "return self._step(self._note) and all(self._step(_vouching(volume, self._epoch)) for volume in self._volumes)"

VARIANTS = (
    Variant(
        "s3-serves-and-follows",
        "A replicator serves without having closed the former primary's stream.",
        (Cut(Roles.serve, "await self.leave()", "pass"),),
        f"{_ROLES}::test_who_serves_follows_nobody_and_has_noted_the_epoch",
    ),
    Variant(
        "s3-serves-unnoted",
        "A replicator serves before its epoch is on its disk.",
        (
            Cut(Roles.serve, _SERVED, "tracker = parts.notes.new_tracker()"),
            Cut(
                Roles.serve,
                "serving.begin(self._deadline_ns)",
                "serving.begin(self._deadline_ns); self.notes.serve(command)",
            ),
        ),
        f"{_ROLES}::test_who_serves_follows_nobody_and_has_noted_the_epoch",
    ),
    Variant(
        "s3-follows-unnoted",
        "A replicator takes a stream before its epoch is on its disk.",
        (
            Cut(Roles.follow, _NOTED, "bases = ()"),
            Cut(
                Roles.follow,
                "parts.secondary.follow(command, bases)",
                "parts.secondary.follow(command, bases); self.notes.follow(command)",
            ),
        ),
        f"{_ROLES}::test_who_follows_has_noted_the_epoch",
    ),
    Variant(
        "s3-serves-an-epoch-again",
        "A replicator serves in an epoch that is on its disk.",
        (Cut(RoleNotes.why_not_serve, "if command.epoch <= seen:", "if False:"),),
        f"{_ROLE_NOTES}::test_why_a_role_is_refused",
    ),
    Variant(
        "s3-follows-an-epoch-again",
        "A replicator follows in an epoch below the one on its disk.",
        (Cut(RoleNotes.why_not_follow, "if command.epoch < seen:", "if False:"),),
        f"{_ROLE_NOTES}::test_why_a_role_is_refused",
    ),
    Variant(
        "s12-follows-at-once",
        "Another copy that an operator has named is followed while the stream before it stands.",
        (Cut(follow, "if state.rep is Rep.FOLLOWING and is_to_part(state):", "if False:"),),
        f"{_VOUCHED}::test_what_was_made_equal_to_the_end_and_not_listed_for_it_is_set_aside",
    ),
    Variant(
        "s8-lost-between-agents",
        "A new agent starts a replicator as of the boot id that it read when it began.",
        (Cut(ReplicatorHand._start, "self._require_memory(spec.boot_id)", "pass"),),
        f"{_HAND}::test_none_is_started_as_of_a_memory_that_was_lost_since_that_was_asked_for",
    ),
    Variant(
        "s8-epoch-of-another-etcd",
        "A replicator takes the stream of an epoch that was begun in another etcd, of the same number.",
        (
            Cut(
                Secondary._judge,
                "if hello.store_id != self._store_id and hello.store_id and self._store_id:",
                "if False:",
            ),
        ),
        f"{_SECONDARY}::test_others_are_refused",
    ),
    Variant(
        "s12-greeted-too-early",
        "A new agent is told what its replicator is before a former one's word is carried out there.",
        (Cut(Runtime._greet, "if self._changes:", "if False:"),),
        f"{_RUNTIME}::test_a_new_agent_hears_first_what_a_former_one_has_made_of_it",
    ),
    Variant(
        "s12-joined-untold",
        "A replicator does not say that a join is through.",
        (Cut(JoinReceiver.finish, "joined()", "pass"),),
        f"{_RECEIVER}::test_the_end_is_on_the_disk_and_noted_before_the_disk_vouches_again",
    ),
    Variant(
        "s8-left-untold",
        "A replicator does not say what a stream has left its disks as.",
        (
            Cut(
                Secondary._has_left,
                "return joining, self._vouching.identity()",
                "return False, None",
            ),
        ),
        f"{_SECONDARY}::test_what_the_disks_vouch_for_is_told_when_a_join_is_through_and_when_a_stream_ends",
    ),
    Variant(
        "s5-serves-past-its-lease",
        "A replicator begins to serve when the deadline has passed.",
        (Cut(Roles.serve, "if self._deadline_ns <= boottime_ns():", "if False:"),),
        f"{_ROLES}::test_without_a_lease_nobody_serves",
    ),
    Variant(
        "s5-lease-from-the-answer",
        "A lease counts from the answer to its renewal.",
        (
            Cut(LeaseKeeper._renew, "sent = self._sent()", "pass"),
            Cut(
                LeaseKeeper._renew,
                "return self._stands(listener, sent, result, ttl_s)",
                "return self._stands(listener, self._sent(), result, ttl_s)",
            ),
        ),
        f"{_LEASE}::test_the_deadline_counts_from_before_the_request_was_sent",
    ),
    Variant(
        "s5-lease-to-its-end",
        "A lease lasts to its very end by this node's clock, with no time to stop in.",
        (Cut(LeaseKeeper._stands, "(self._config.margin_ms + self._config.stop_budget_ms) * MS_NS", "0"),),
        f"{_LEASE}::test_the_deadline_counts_from_before_the_request_was_sent",
    ),
    Variant(
        "s5-lease-of-another-etcd",
        "A renewal counts that an etcd has answered whose keys this node does not see.",
        (Cut(LeaseKeeper._stands, "if not is_of_watched(sent.watched, answered):", "if False:"),),
        f"{_LEASE}::test_a_renewal_that_a_restored_etcd_has_answered_counts_once_the_watch_has_come_to_it",
    ),
    Variant(
        "s5-lease-without-its-key",
        "A lease counts that etcd answers for though the node's key is gone.",
        (Cut(LeaseKeeper._renew, "if not result.succeeded:", "if False:"),),
        f"{_LEASE}::test_a_keep_alive_that_is_answered_for_a_key_that_is_gone_renews_nothing",
    ),
    Variant(
        "s5-promise-note-in-memory",
        "The note of how long a promise can be is not on the disk when it is given.",
        (
            Cut(PromiseFile.write, "synced=True", "synced=False"),
            Cut(PromiseFile.write, "sync_note(self._path)", "pass"),
        ),
        f"{_PROMISE}::test_it_is_on_the_disk_whoever_wrote_it",
    ),
    Variant(
        "s5-promise-note-damaged",
        "A note of promises that cannot be read is as none.",
        (Cut(PromiseFile.read, 'return PromiseNote("", MOST_TTL_MS * MS_NS)', "return None"),),
        f"{_PROMISE}::test_what_is_not_understood_counts_as_the_longest_promise",
    ),
    Variant(
        "s6-unanswered-is-failed",
        "A transaction without an answer is told as one that failed.",
        (
            Cut(
                StoreHand._commit,
                "self._give(events.TxnUnknown(command.tag))",
                "self._give(events.TxnFailed(command.tag, str(failure)))",
            ),
        ),
        "unit/agent/runtime/test_store_hand.py::test_without_an_answer_it_is_unknown_and_refused_it_has_failed",
    ),
    Variant(
        "s8-drop-unnoted",
        "A primary goes on without another node before its disk knows of that record: a restored etcd is believed.",
        (Cut(RoleNotes.go_on, "self._vouching.note_revision(revision)", "pass"),),
        f"{_ROLE_NOTES}::test_who_goes_on_notes_what_the_record_makes_of_it",
    ),
    Variant(
        "s8-drop-not-noted",
        "A primary goes on without another node though its disk did not take that.",
        (Cut(Commands._settled, "primary.fail(reason, is_broken(error))\n            return", "pass"),),
        "unit/replicator/test_commands.py::test_what_the_disk_does_not_know_lets_nothing_go",
    ),
    Variant(
        "s8-half-a-join-serves",
        "A copy in the middle of a join serves.",
        (Cut(RoleNotes.why_not_serve, "if self._vouching.is_joining():", "if False:"),),
        f"{_ROLE_NOTES}::test_why_a_role_is_refused",
    ),
    Variant(
        "s8-empty-disk-vouches",
        "A disk without an identity vouches for the epoch that it follows in.",
        (Cut(RoleNotes.follow, "self._vouching.expect_join()", "pass"),),
        f"{_ROLE_NOTES}::test_disks_that_vouched_for_nothing_do_not_vouch_for_the_epoch_that_they_follow_in",
    ),
    Variant(
        "s8-join-unmarked",
        "A copy vouches for what it was while a join changes it.",
        (Cut(JoinReceiver.begin, "number = begin_join(volume.private_fd)", "number = 1"),),
        f"{_RECEIVER}::test_the_disk_vouches_for_nothing_from_before_the_first_change_on",
    ),
    Variant(
        "s8-join-begins-with-the-copying",
        "What a stream ships before anything is copied is applied by a copy that still vouches for what it was.",
        (Cut(Applier._on_frame_before, "if kind in _CHANGING and", "if kind in COPYING and"),),
        f"{_TRACKING}::test_what_changes_nothing_begins_no_join",
    ),
    Variant(
        "s8-durable-in-memory",
        "A copy says that the join is on its disks before it is.",
        (
            Cut(
                JoinReceiver.finish,
                "self._background.run(finishing.run, done, failed)",
                "self._background.run(finishing.run, lambda _: None, failed); done(True)",
            ),
        ),
        f"{_RECEIVER}::test_an_end_that_is_not_on_the_disk_is_none",
    ),
    Variant(
        "s8-durable-unsynced",
        "The end of a join does not ask the disks.",
        (Cut(Finishing.run, "self._bring()", "pass"),),
        f"{_RECEIVER}::test_an_end_that_is_not_on_the_disk_is_none",
    ),
    Variant(
        "s8-vouches-before-the-note",
        "A copy vouches for a join before that is noted.",
        (
            Cut(
                Finishing.run,
                _ENDS,
                "vouch = [self._step(_vouching(volume, self._epoch)) for volume in self._volumes]\n"
                "    return self._step(self._note) and all(vouch)",
            ),
        ),
        f"{_RECEIVER}::test_the_end_is_on_the_disk_and_noted_before_the_disk_vouches_again",
    ),
    Variant(
        "s8-lost-and-followed-on",
        "A copy that has lost what it had in memory takes another stream as if it had not.",
        (Cut(Secondary._judge, "if self.loss is not None:", "if False:"),),
        f"{_TRACKING}::test_a_copy_that_lost_something_takes_no_stream_in_this_process",
    ),
    Variant(
        "s8-fsync-fails-here",
        "A primary whose disk has lost something goes on, though a peer is listed that has it.",
        (Cut(Fsyncing.issue, "self._disk_lost(reason)", "pass"),),
        f"{_FSYNCING}::test_an_fsync_that_fails_here_is_lost_memory_and_the_peers_matter",
    ),
    Variant(
        "s8-lost-alone",
        "What a primary's disk has lost while it was alone is forgotten once a peer is listed.",
        (Cut(Primary.settled, "if self._disk_lost:", "if False:"),),
        f"{_FSYNCING}::test_what_was_lost_alone_is_told_once_a_peer_is_listed_and_not_before",
    ),
    Variant(
        "s8-lost-alone-unnoted",
        "What a primary's disk has lost while it was alone is not known to the process after it.",
        (Cut(Roles.disk_failed, "self._on_memory_lost()", "pass"),),
        f"{_ROLES}::test_a_loss_is_noted_whether_the_role_tells_of_it_or_not",
    ),
    Variant(
        "s8-end-of-a-join-lost",
        "A join whose end is not on the disk is no loss of memory.",
        (Cut(Applier._not_joined, "memory_lost=True", "memory_lost=False"),),
        f"{_SECONDARY}::test_a_join_whose_end_is_not_on_the_disk_is_a_loss_of_memory",
    ),
    Variant(
        "s8-lost-and-told-first",
        "A replicator tells its agent of a loss of memory before that is noted.",
        (
            Cut(Runtime._event, "self._lost_memory()", "pass"),
            Cut(
                Runtime._event,
                "self._control.send(event)",
                "self._control.send(event)\n"
                "    if isinstance(event, control.Failed) and event.memory_lost:\n"
                "        self._lost_memory()",
            ),
        ),
        "unit/replicator/test_runtime.py::test_a_loss_of_memory_is_noted_before_anybody_is_told",
    ),
    Variant(
        "s8-lost-and-unkept",
        "What follows from a loss of memory begins before the agent has kept it.",
        (
            Cut(ModuleRuntime._step, "self._hands.memory.keep(self._state.boot_id)", "pass"),
            Cut(
                ModuleRuntime._step,
                "self._begin(command)",
                "self._begin(command)\n"
                "    if self._state.boot_id != before:\n"
                "        self._hands.memory.keep(self._state.boot_id)",
            ),
        ),
        "unit/agent/runtime/test_module_runtime.py::test_a_loss_of_memory_is_kept_before_anything_follows_from_it",
    ),
    Variant(
        "s12-diverged-unmarked",
        "That a copy has diverged is not on its disks before the epoch that it follows in.",
        (Cut(RoleNotes.follow, "self._asides.prepare(command.diverged)", "pass"),),
        f"{_ROLE_NOTES}::test_a_copy_that_diverged_says_so_before_it_has_the_epoch_of_the_other",
    ),
    Variant(
        "s12-diverged-and-changed",
        "What is shipped to a copy that has diverged is applied before what differs is set aside.",
        (Cut(Applier._on_frame_diverged, "if self._keeper.is_over:", "if True:"),),
        f"{_DIVERGED}::test_nor_is_one_that_changes_something",
    ),
)
