"""S1 to S5, as the two ends of the stream keep them: who has what, whose stream is taken, and who goes first."""

from replicator.applier import Applier
from replicator.fsyncing import Fsyncing
from replicator.link import Link
from replicator.peer import Peer
from replicator.peers import Peers
from replicator.primary import Primary
from replicator.repair import Repairs
from replicator.secondary import Secondary
from replicator.streams import Streams
from replicator.wire import frames
from replicator.wire.reader import FrameReader
from tests.unit.broken.variant import Cut, Variant

_PRIMARY = "unit/replicator/test_primary.py"
_SECONDARY = "unit/replicator/test_secondary.py"
_ON_DISK = "unit/replicator/test_secondary_disk.py"
_FSYNCING = "unit/replicator/test_fsyncing.py"
_REPAIR = "unit/replicator/test_repair.py"
_PROMISING = "unit/replicator/test_promising.py"
_CLOSING = f"{_SECONDARY}::test_closing_applies_what_has_come"
_REPLACING = f"{_SECONDARY}::test_a_newer_connection_replaces_the_old_one_after_it_is_drained"
_DROPS = "(age_s if peer.state is PeerState.COMPLETE else stalled_s) > self._timeout_s"

VARIANTS = (
    Variant(
        "s1-frozen-in-vain",
        "What comes after it has frozen is sent and applied.",
        (Cut(Primary.issue, "if completions.gated:", "if False:"),),
        f"{_PRIMARY}::test_frozen_nothing_is_taken_until_it_is_thawed",
    ),
    Variant(
        "s1-frozen-too-early",
        "A place is offered while operations are under way.",
        (Cut(Primary.rest, "if completions.idle and not completions.is_shut(Gate.REPAIR):", "if True:"),),
        f"{_PRIMARY}::test_frozen_nothing_is_taken_until_it_is_thawed",
    ),
    Variant(
        "s2-record-of-another-epoch",
        "A record of another epoch says who has to have it.",
        (Cut(Primary.settled, "if command.epoch != self.epoch:", "if False:"),),
        f"{_PRIMARY}::test_nothing_completes_before_the_record_is_known",
    ),
    Variant(
        "s2-slow-for-ever",
        "A peer that acknowledges nothing is waited for for ever.",
        (Cut(Peers._tick, _DROPS, "False"),),
        f"{_PRIMARY}::test_a_slow_peer_is_dropped_within_the_timeout_though_nothing_waits",
    ),
    Variant(
        "s2-idle-unasked",
        "A peer is only slow while a write waits for it: where none does nothing is asked.",
        (Cut(Peers._tick, "peer.ping()", "pass"),),
        f"{_PRIMARY}::test_an_idle_peer_that_dies_is_dropped_within_the_timeout_of_its_last_word",
    ),
    Variant(
        "s2-speaking-is-enough",
        "Who says anything at all is not slow, whatever it has not acknowledged.",
        (
            Cut(
                Peers._tick,
                "watch.oldest_age_s(peer, now, self._tick_s), watch.stalled_s(peer, now)",
                "now - peer.heard_at, now - peer.heard_at",
            ),
        ),
        f"{_PRIMARY}::test_a_peer_that_speaks_and_acknowledges_nothing_is_slow",
    ),
    Variant(
        "s2-hung-disk-there",
        "An fsync may take for ever on the peer's disk.",
        (Cut(Peers._tick, "now - fsync_sent_at > FSYNC_TIMEOUTS * self._timeout_s", "False"),),
        f"{_FSYNCING}::test_a_peer_whose_disk_hangs_is_lost_though_it_acknowledges",
    ),
    Variant(
        "s2-hung-disk-here",
        "An fsync may take for ever on the primary's own disk, though a peer is listed that has it.",
        (Cut(Primary.tick, "silent = silent_s > self._patience_s", "silent = False"),),
        f"{_FSYNCING}::test_a_disk_of_this_node_that_hangs_is_left_for_that_of_a_peer",
    ),
    Variant(
        "s2-listed-is-copied-to",
        "A stream begins to a node that the record still lists.",
        (
            Cut(Streams.begin_welcomed, "self._wanted - self._completions.required", "self._wanted"),
            Cut(Streams._begin, "if peer.node in self._completions.required:", "if False:"),
        ),
        f"{_PRIMARY}::test_a_node_that_the_record_still_lists_is_not_touched",
    ),
    Variant(
        "s2-waits-once-joined",
        "Completions wait for a node once its disk has the join, not from the join point.",
        (
            Cut(Streams.join_point, "self._completions.join_point(peer.node)", "pass"),
            Cut(
                Streams._joined,
                "self._keeper.joined()",
                "self._keeper.joined(); self._completions.join_point(peer.node)",
            ),
            Cut(Peer.ship, "if self._complete:", "if self.durable:"),
            Cut(Peer._sent, "if self.state is PeerState.JOINING:", "if not self.durable:"),
        ),
        f"{_PRIMARY}::test_past_the_join_point_completions_wait_and_the_agent_is_told_when_it_is_on_the_disk",
    ),
    Variant(
        "s2-joined-in-memory",
        "A node is told to be complete at its join point, before any disk has that.",
        (Cut(Streams.join_point, "self.barriers.join(", "self._joined(peer); self.barriers.join("),),
        f"{_PRIMARY}::test_past_the_join_point_completions_wait_and_the_agent_is_told_when_it_is_on_the_disk",
    ),
    Variant(
        "s2-received-is-acknowledged",
        "An acknowledgement means: received.",
        (
            Cut(
                Applier._on_frame, "if kind == _WRITE and", "self._acknowledge(sequence)\n        if kind == _WRITE and"
            ),
        ),
        f"{_SECONDARY}::test_a_copy_that_differs_fails_the_stream",
    ),
    Variant(
        "s2-not-applied-is-acknowledged",
        "What cannot be applied is passed over.",
        (
            Cut(
                Applier._on_frame,
                'diverged(f"frame {sequence} ({FrameKind(kind).name}): {error}")\n        return',
                "pass",
            ),
        ),
        f"{_SECONDARY}::test_a_copy_that_differs_fails_the_stream",
    ),
    Variant(
        "s2-acknowledged-before-the-disk",
        "Where an acknowledgement is to mean that the disk has it, it means: applied.",
        (Cut(Applier._on_batch, "self._groups.reached(self.sequence)", "self._acknowledge(self.sequence)"),),
        f"{_ON_DISK}::test_nothing_is_acknowledged_before_it_is_on_the_disk",
    ),
    Variant(
        "s2-fsync-here",
        "An fsync is over when this node's disk has it.",
        (
            Cut(
                Fsyncing.issue,
                "if self._syncs.done_here(sync, result):",
                "if self._syncs.done_here(sync, result) or True:",
            ),
        ),
        f"{_FSYNCING}::test_fsync_waits_for_both_disks",
    ),
    Variant(
        "s2-fsync-there",
        "An fsync is over when the peer's disk has it.",
        (
            Cut(
                Fsyncing._answer,
                "elif self._syncs.done_at(sync, peer.node):",
                "elif self._syncs.done_at(sync, peer.node) or True:",
            ),
        ),
        f"{_FSYNCING}::test_fsync_waits_for_both_disks_whichever_is_first",
    ),
    Variant(
        "s2-fsync-of-what-is-not-applied",
        "An fsync asks this node's disk at once, whatever is not applied there yet.",
        (Cut(Fsyncing.issue, "if inode.pending:", "if False:"),),
        f"{_FSYNCING}::test_an_fsync_is_of_all_that_was_issued_before_it",
    ),
    Variant(
        "s2-fsync-received",
        "The secondary answers an fsync without asking its disk.",
        (Cut(Applier._sync, "self._background.sync(file, operation.data_only, synced, not_synced)", "synced(None)"),),
        f"{_SECONDARY}::test_an_fsync_that_fails_fails_the_stream",
    ),
    Variant(
        "s2-fsync-failed-there",
        "A peer whose fsync has failed is kept.",
        (Cut(Fsyncing._answer, 'peer.drop(f"its fsync failed: {os.strerror(code)}")', "pass"),),
        f"{_FSYNCING}::test_an_fsync_that_fails_at_the_peer_drops_it_and_waits_for_the_record",
    ),
    Variant(
        "s2-repair-without-the-peer",
        "A failed write's caller has his error although a lost peer, still listed, has the write.",
        (Cut(Repairs._end, "if primary.completions.held:", "if False:"),),
        f"{_REPAIR}::test_a_repair_that_loses_its_peer_waits_for_the_record",
    ),
    Variant(
        "s2-fails-here-and-goes-on",
        "It goes on with what failed here, and has the peer that has it dropped.",
        (Cut(Primary._failed_here, "if self.completions.required:", "if False:"),),
        f"{_REPAIR}::test_another_failure_here_ends_it_and_the_peer_has_it",
    ),
    Variant(
        "s3-epoch-past",
        "A stream of an epoch before the one that is followed is taken.",
        (Cut(Secondary._judge, "if hello.epoch < self._epoch:", "if False:"),),
        f"{_SECONDARY}::test_others_are_refused",
    ),
    Variant(
        "s3-epoch-ahead",
        "A stream of an epoch that this node was not told of is taken.",
        (Cut(Secondary._judge, "if hello.epoch > self._epoch:", "if False:"),),
        f"{_SECONDARY}::test_others_are_refused",
    ),
    Variant(
        "s3-any-node",
        "A stream is taken of a node that is not the one to be followed.",
        (Cut(Secondary._judge, "if hello.node != self._primary:", "if False:"),),
        f"{_SECONDARY}::test_others_are_refused",
    ),
    Variant(
        "s3-any-module",
        "A stream is taken of another cluster's, or another module's, replicator.",
        (
            Cut(Secondary._judge, "if hello.cluster_id != spec.cluster_id:", "if False:"),
            Cut(Secondary._judge, "if hello.module_id != spec.module_id:", "if False:"),
        ),
        f"{_SECONDARY}::test_others_are_refused",
    ),
    Variant(
        "s3-told-of-nobody",
        "A node takes a stream that was not told to follow anybody.",
        (
            Cut(Secondary._judge, "if not self._primary:", "if False:"),
            Cut(Secondary._judge, "if hello.node != self._primary:", "if False:"),
            Cut(Secondary._judge, "if hello.epoch > self._epoch:", "if False:"),
        ),
        f"{_SECONDARY}::test_who_follows_nobody_refuses_all",
    ),
    Variant(
        "s3-closed-is-taken-again",
        "Whose stream was closed in order to stand may connect anew.",
        (Cut(Secondary.stop_following, 'self._primary = ""', "pass"),),
        _CLOSING,
    ),
    Variant(
        "s3-closed-stays-open",
        "A node that stands leaves the former primary's stream open.",
        (Cut(Secondary.stop_following, "self._end(self._stream)", "pass"),),
        _CLOSING,
    ),
    Variant(
        "s3-closed-unapplied",
        "A node stands while what has come to it is not applied.",
        (Cut(Secondary.stop_following, "self._stream.link.drain()", "pass"),),
        _CLOSING,
    ),
    Variant(
        "s3-epoch-followed-again",
        "An epoch that was passed is followed again.",
        (
            Cut(Secondary.follow, 'command.primary if command.epoch >= self._epoch else ""', "command.primary"),
            Cut(Secondary.follow, "max(self._epoch, command.epoch)", "command.epoch"),
        ),
        f"{_SECONDARY}::test_an_epoch_that_was_passed_is_not_followed_again",
    ),
    Variant(
        "s3-follows-two",
        "Who is told to follow another one keeps the stream that stands.",
        (
            Cut(
                Secondary.follow,
                'self._lose(stream, f"told to follow {command.primary} in epoch {command.epoch}")',
                "pass",
            ),
        ),
        f"{_SECONDARY}::test_following_another_ends_the_stream",
    ),
    Variant(
        "s3-two-streams",
        "A new connection leaves the former one open.",
        (Cut(Secondary._welcome, 'self._lose(self._stream, f"the primary connected anew from {address}")', "pass"),),
        _REPLACING,
    ),
    Variant(
        "s3-any-frame",
        "A frame of another epoch is taken.",
        (
            Cut(
                frames.is_sound,
                "if found != epoch if epoch else not 0 < found <= MAX_EPOCH:",
                "if not 0 < found <= MAX_EPOCH:",
            ),
        ),
        "unit/replicator/test_link.py::test_what_is_no_frame_ends_it",
    ),
    Variant(
        "s3-welcome-of-another-node",
        "A primary begins a stream to whatever node answers.",
        (Cut(Peer._on_greeting, "if welcome.node != self.node:", "if False:"),),
        f"{_PRIMARY}::test_the_wrong_node_at_the_endpoint_is_not_taken",
    ),
    Variant(
        "s4-applied-first",
        "A write is applied on the primary before it is sent.",
        (
            Cut(
                Primary.issue,
                "completions.issue((operation, done))",
                "self._apply[operation.volume](operation); completions.issue((operation, done))",
            ),
        ),
        f"{_PRIMARY}::test_the_peer_goes_first",
    ),
    Variant(
        "s4-sent-is-applied",
        "A write is completed when it is sent.",
        (
            Cut(
                Primary.issue,
                "if completions.limit > completions.released:",
                "completions.limit = completions.issued\n    if completions.limit > completions.released:",
            ),
        ),
        f"{_PRIMARY}::test_the_peer_goes_first",
    ),
    Variant(
        "s4-completed-first",
        "A write is completed before it is applied here.",
        (
            Cut(
                Primary.drain,
                "result = apply[operation.volume](operation)",
                "self._answer(operation, done, 0)\n                result = apply[operation.volume](operation)",
            ),
        ),
        f"{_PRIMARY}::test_alone_an_operation_is_done_at_once_and_its_error_is_the_callers",
    ),
    Variant(
        "s4-any-order",
        "Frames are applied in whatever order they come.",
        (Cut(Applier._on_frame, "if sequence != self.sequence + 1:", "if not sequence:"),),
        f"{_SECONDARY}::test_frames_out_of_order_end_the_stream",
    ),
    Variant(
        "s4-damaged",
        "A frame is applied that is not what was sent.",
        (Cut(FrameReader.next, "if digest(self._view[start + _CHECKSUM_SIZE : end]) != checksum:", "if False:"),),
        "unit/replicator/test_link.py::test_what_is_no_frame_ends_it",
    ),
    Variant(
        "s4-after-a-refused-frame",
        "What comes after a frame that was refused is handed on.",
        (Cut(Link._dispatch, "self._lose(str(error))", "pass"),),
        "unit/replicator/test_link.py::test_after_a_frame_that_is_refused_nothing_is_handed_on",
    ),
    Variant(
        "s4-unrepaired",
        "The caller of a write that failed here has his error before the peer is repaired.",
        (
            Cut(
                Primary._failed_here,
                "self._repairs.add(operation, done, error)",
                "self._repairs.add(operation, lambda _: None, error)\n"
                "        self._answer(operation, done, -(error.errno or errno.EIO))",
            ),
        ),
        f"{_REPAIR}::test_what_finds_no_room_here_is_undone_at_the_peer_before_the_caller_is_told",
    ),
    Variant(
        "s5-after-the-deadline",
        "Past the deadline it completes until the warden's thread has had its turn.",
        (Cut(Primary.drain, "or self._fence.is_due()", ""),),
        f"{_PRIMARY}::test_past_the_deadline_it_waits_for_the_warden_or_a_late_renewal",
    ),
    Variant(
        "s5-promise-to-another",
        "A promise is given that answers no question of the stream that stands.",
        (
            Cut(Secondary.promise, "or command.asked_ns not in stream.asked", ""),
            Cut(Secondary.promise, "stream.asked.remove(command.asked_ns)", "pass"),
        ),
        f"{_PROMISING}::test_a_question_of_a_former_stream_is_not_answered_on_the_next",
    ),
    Variant(
        "s5-promise-of-another-epoch",
        "A promise is given for whatever epoch.",
        (Cut(Secondary.promise, "or command.epoch != stream.link.epoch", ""),),
        f"{_PROMISING}::test_what_answers_no_question_of_the_stream_is_not_said",
    ),
    Variant(
        "s5-promise-unasked",
        "A promise counts from whenever the peer says.",
        (Cut(Peer._on_promise, "if asked_ns > self._asked_ns:", "if False:"),),
        f"{_PROMISING}::test_what_is_no_answer_ends_the_stream",
    ),
    Variant(
        "s5-promise-of-one-that-joins",
        "A node that is joining is asked for its promise.",
        (Cut(Streams.ask_promises, "if peer.state is PeerState.COMPLETE:", "if True:"),),
        f"{_PROMISING}::test_a_peer_that_joins_is_not_asked",
    ),
)
