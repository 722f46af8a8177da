"""R, as the shell keeps it: what is marked and where, when that is forgotten, and what a copy is read from."""

from replicator.applier import Applier
from replicator.barriers import Barriers
from replicator.commands import Commands
from replicator.comparing import Comparing
from replicator.dirty_keeper import DirtyKeeper
from replicator.disk_notes import DiskNotes
from replicator.joiner import Joiner
from replicator.primary import Primary
from replicator.repair import Repairs
from replicator.role_notes import RoleNotes
from replicator.roles import Roles
from replicator.secondary import Secondary
from replicator.serving import Serving
from replicator.steady import SteadyReader, _Read
from replicator.stream_tracking import StreamTracking
from replicator.streams import Streams
from tests.unit.broken.variant import Cut, Variant

_PRIMARY = "unit/replicator/test_primary.py"
_MARKING = "unit/replicator/test_marking.py"
_BARRIERS = "unit/replicator/test_barriers.py"
_KEEPER = "unit/replicator/test_dirty_keeper.py"
_TRACKING = "unit/replicator/test_stream_tracking.py"
_SECONDARY = "unit/replicator/test_secondary_tracking.py"
_NOTES = "unit/replicator/test_disk_notes.py"
_ROLE_NOTES = "unit/replicator/test_role_notes.py"
_STEADY = "unit/replicator/test_steady.py"
_REPAIR = "unit/replicator/test_repair.py"
_MADE = "unit/replicator/test_made_small_files.py"
_SERVING = "unit/replicator/test_serving.py"
_ROLES = "unit/replicator/test_roles.py"
_COMPARING = "unit/replicator/test_comparing.py"
_COMMANDS = "unit/replicator/test_commands.py"

VARIANTS = (
    Variant(
        "r-marked-when-applied",
        "A mark is made when the operation is applied here, not when it is shipped.",
        (
            Cut(Primary.issue, "self._mark(operation)", "pass"),
            Cut(
                Primary.drain,
                "result = apply[operation.volume](operation)",
                "self._mark(operation); result = apply[operation.volume](operation)",
            ),
        ),
        f"{_MARKING}::test_what_was_shipped_is_in_the_list_though_it_was_not_applied",
    ),
    Variant(
        "r-waited-unmarked",
        "What had to wait at the gate is shipped unmarked.",
        (Cut(Primary.rest, "self._mark(waiting[0])", "pass"),),
        f"{_MARKING}::test_what_had_to_wait_is_marked_too",
    ),
    Variant(
        "r-alone-unmarked",
        "Alone, it applies before the mark is on its disk.",
        (Cut(Primary._may_ship, "if not self.keeper.passes(operation):", "if False:"),),
        f"{_MARKING}::test_alone_nothing_completes_before_its_mark_is_on_the_disk",
    ),
    Variant(
        "r-alone-careless",
        "Alone, an operation is not looked at before it is applied: its mark is on its way to the disk at best.",
        (Cut(Primary._look_twice, "self.keeper.is_careful or", ""),),
        f"{_MARKING}::test_alone_nothing_completes_before_its_mark_is_on_the_disk",
    ),
    Variant(
        "r-alone-marked-in-memory",
        "Alone, an operation passes whose mark is on its way to the disk.",
        (Cut(DirtyKeeper.passes, "if self.tracker.mark(operation):", "if self.tracker.mark(operation) or True:"),),
        f"{_KEEPER}::test_alone_an_operation_waits_until_its_mark_is_on_the_disk",
    ),
    Variant(
        "r-alone-before-the-list",
        "A peer is lost, and operations pass before the list is on the disk.",
        (
            Cut(DirtyKeeper.passes, "if self._shut:", "if False:"),
            Cut(
                DirtyKeeper.passes, "if self.tracker.mark(operation):", "if self.tracker.mark(operation) or self._shut:"
            ),
        ),
        f"{_KEEPER}::test_when_the_peer_is_lost_the_list_is_on_the_disk_before_anything_passes",
    ),
    Variant(
        "r-list-that-lacks-something",
        "What could not be noted passes while the list, which lacks it, stands on the disk.",
        (Cut(DirtyKeeper.passes, "if self._shut:", "if False:"),),
        f"{_KEEPER}::test_a_disk_that_does_not_take_a_mark_costs_the_list_and_nothing_passes_before_it_is_gone",
    ),
    Variant(
        "r-released-before-the-list",
        "A peer is dropped, and what was held is released, before the list is on the disk.",
        (Cut(Commands._settled, "await primary.keeper.at_rest()", "pass"),),
        f"{_COMMANDS}::test_what_is_held_is_let_go_once_the_disk_knows_of_it",
    ),
    Variant(
        "r-goes-on-unawares",
        "A primary that takes the last other one out does not know that it goes on alone.",
        (Cut(Primary.goes_on_alone, "return self.takes_out(command) or self.keeper.has_noted_base", "return False"),),
        f"{_MARKING}::test_who_takes_the_last_one_out_goes_on_alone",
    ),
    Variant(
        "r-goes-on-of-a-join",
        "A primary goes on alone with the base of the last join on its disk.",
        (Cut(RoleNotes.go_on, "self._notes.clear_base()", "pass"),),
        f"{_ROLE_NOTES}::test_who_goes_on_notes_what_the_record_makes_of_it",
    ),
    Variant(
        "r-serves-of-a-join",
        "A node that is promoted keeps the base of its last join.",
        (Cut(DiskNotes.go_alone, "self.clear_base()", "pass"),),
        f"{_ROLE_NOTES}::test_a_primary_is_of_no_join_any_more",
    ),
    Variant(
        "r-lost-in-memory",
        "When the peer is lost its marks stay in memory.",
        (Cut(Streams.lost, "self._keeper.lost()", "pass"),),
        f"{_MARKING}::test_what_was_shipped_is_in_the_list_though_it_was_not_applied",
    ),
    Variant(
        "r-role-ends",
        "A primary that ends leaves the marks that it has in memory.",
        (Cut(DirtyKeeper.end, "self.lost()", "pass"),),
        f"{_KEEPER}::test_at_the_end_of_the_role_what_was_in_memory_is_on_the_disk",
    ),
    Variant(
        "r-secondary-ends",
        "A secondary that becomes a primary has no use for what it has marked, and takes that for nothing.",
        (Cut(DiskNotes.keep, "self.list.create(tracker.base, records or [])", "self.list.create(tracker.base, [])"),),
        f"{_NOTES}::test_what_a_secondary_has_tracked_is_there_for_the_primary_that_it_becomes",
    ),
    Variant(
        "r-primary-leaves-nothing",
        "A primary's role ends without its marks being brought to the disk.",
        (Cut(Serving.end, "await self.primary.keeper.end()", "pass"),),
        f"{_SERVING}::test_what_is_tracked_is_on_the_disk_when_the_role_has_ended",
    ),
    Variant(
        "r-secondary-leaves-nothing",
        "A secondary that becomes a primary does not bring its marks to the disk.",
        (
            Cut(
                Roles.leave,
                "await parts.loop.run_in_executor(None, parts.notes.keep, parts.secondary.tracker)",
                "pass",
            ),
        ),
        f"{_ROLES}::test_who_serves_has_what_it_marked_as_a_secondary",
    ),
    Variant(
        "r-two-lists",
        "It tracks in memory while an older list stands on its disk.",
        (Cut(DirtyKeeper.listed, "self._do(self._store.void, self._voided, self._not_voided)", "self._voided()"),),
        f"{_KEEPER}::test_what_is_marked_between_the_join_point_and_the_listing_is_tracked_on_in_memory",
    ),
    Variant(
        "r-any-base",
        "A list is taken for one of whatever copy joins.",
        (Cut(DirtyKeeper.missing, "if not self._bases.isdisjoint(bases):", "if True:"),),
        f"{_KEEPER}::test_a_copy_of_another_base_gets_everything_and_the_list_is_of_no_use_any_more",
    ),
    Variant(
        "r-one-list-for-several",
        "With several peers what was marked of one is taken for what each of them lacks.",
        (
            Cut(DirtyKeeper.join_point, "if self._tracks:", "if True:"),
            Cut(DirtyKeeper.joined, "if self._tracks:", "if True:"),
        ),
        f"{_KEEPER}::test_with_several_peers_nothing_is_tracked",
    ),
    Variant(
        "r-a-list-that-cannot-be-believed",
        "A list is taken up where memory was lost, or where there are several peers.",
        (Cut(DiskNotes._take_up, "if not self.tracks or self._is_memory_lost:", "if False:"),),
        f"{_NOTES}::test_a_list_that_cannot_be_believed_is_taken_away",
    ),
    Variant(
        "r-forgotten-by-the-peers-disk",
        "What the peer's disk has is forgotten, though its own may not have it.",
        (Cut(Barriers._look, "(barrier.here and barrier.there)", "barrier.there"),),
        f"{_BARRIERS}::test_nothing_is_forgotten_before_both_disks_have_it",
    ),
    Variant(
        "r-forgotten-by-its-own-disk",
        "What its own disk has is forgotten, though the peer's may not have it.",
        (Cut(Barriers._look, "(barrier.here and barrier.there)", "barrier.here"),),
        f"{_BARRIERS}::test_nothing_is_forgotten_before_both_disks_have_it",
    ),
    Variant(
        "r-barrier-before-it-is-applied",
        "A barrier asks this node's disk before all that was shipped is applied there.",
        (
            Cut(
                Barriers.tick,
                "self._primary.when_applied(lambda: self._sync_here(barrier))",
                "self._sync_here(barrier)",
            ),
        ),
        f"{_BARRIERS}::test_a_barrier_is_of_what_is_applied_here",
    ),
    Variant(
        "r-barrier-after-a-loss",
        "A disk that has told of a loss passes for one that has everything at the next barrier.",
        (Cut(Barriers.tick, "if self._failed or", "if"),),
        f"{_BARRIERS}::test_a_disk_that_lost_something_does_not_pass_for_one_that_has_it_at_the_next_barrier",
    ),
    Variant(
        "r-barrier-after-a-told-loss",
        "A barrier passes though something else than a barrier was told of a loss on this node's disk.",
        (Cut(Primary.disk_failed, "self.streams.barriers.disk_lost()", "pass"),),
        f"{_BARRIERS}::test_a_barrier_does_not_pass_that_this_nodes_disk_came_through_once_something_was_lost",
    ),
    Variant(
        "r-failed-is-forgotten",
        "A barrier passes, and forgets a write that failed here, while the peer has that unrepaired.",
        (
            Cut(Barriers.tick, "or self._primary.repairing", ""),
            Cut(Barriers._sync_here, "if self._primary.repairing:", "if False:"),
        ),
        f"{_MARKING}::test_what_failed_here_is_marked_until_both_disks_have_its_repair",
    ),
    Variant(
        "r-repair-unmarked",
        "What repairs a failed write on the peer is not marked.",
        (Cut(Repairs._ship, "self._primary.keeper.mark(step)", "pass"),),
        f"{_MARKING}::test_what_failed_here_is_marked_until_both_disks_have_its_repair",
        redundant="No barrier is passed while a repair is due, so the mark of the write that failed still stands.",
    ),
    Variant(
        "r-repaired-at-once",
        "A repair is read while other operations are under way.",
        (Cut(Repairs.add, "self._primary.when_quiet_first(self._begin)", "self._begin()"),),
        f"{_REPAIR}::test_a_repair_is_read_once_nothing_is_under_way",
    ),
    Variant(
        "r-repaired-beside",
        "New writes go on while one is repaired.",
        (Cut(Repairs._begin, "self._primary.completions.shut(Gate.REPAIR)", "pass"),),
        f"{_REPAIR}::test_what_finds_no_room_here_is_undone_at_the_peer_before_the_caller_is_told",
    ),
    Variant(
        "r-secondary-unmarked",
        "A secondary marks nothing of what it applies.",
        (
            Cut(Applier._on_frame, "if not self._mark(write):", "if False:"),
            Cut(Applier._apply, "if not self._mark(operation):", "if False:"),
        ),
        f"{_SECONDARY}::test_what_is_applied_past_the_join_point_is_marked_until_both_have_it",
    ),
    Variant(
        "r-secondary-good-at-once",
        "A new secondary's list is of use before both disks have the join point.",
        (
            Cut(
                StreamTracking.finish,
                "return partial(self._note, base)",
                "self._is_good = True; self._tracker.finished(); self._tracker.to_memory()\n"
                "    return partial(self._note, base)",
            ),
        ),
        f"{_SECONDARY}::test_a_list_that_the_primary_does_not_know_to_be_good_is_none",
    ),
    Variant(
        "r-secondary-old-list",
        "A secondary's list of before stands when a join that has changed its copy has broken off.",
        (
            Cut(StreamTracking.begin, "self._void()", "pass"),
            Cut(StreamTracking.end, "if self._begun and not self._is_good:", "if False:"),
        ),
        f"{_TRACKING}::test_a_list_is_void_after_a_stream_that_was_lost_before_both_had_the_join_point",
    ),
    Variant(
        "r-secondary-own-list",
        "A copy that came through a join keeps the list on its disk of what it did alone before.",
        (Cut(StreamTracking._note, "self._store.void()", "pass"),),
        f"{_TRACKING}::test_the_list_on_the_disk_is_voided_before_the_base_is_noted",
    ),
    Variant(
        "r-secondary-forgets-early",
        "A secondary forgets up to a barrier that its own disk has not answered.",
        (Cut(StreamTracking.forget, "and sequence <= self._reached", ""),),
        f"{_TRACKING}::test_what_is_not_on_the_disks_is_not_forgotten",
    ),
    Variant(
        "r-secondary-lost",
        "A secondary whose memory was lost keeps its list.",
        (Cut(Secondary._distrust, "self.tracker.void()", "pass"),),
        f"{_SECONDARY}::test_a_copy_that_lost_something_has_no_list",
    ),
    Variant(
        "r-lost-and-of-a-join",
        "A copy whose memory was lost tells of the joins that it came through.",
        (Cut(Secondary._welcome, "or any(volume.memory_lost for volume in self._volumes)", ""),),
        f"{_SECONDARY}::test_a_copy_that_may_have_lost_something_tells_of_no_join",
    ),
    Variant(
        "r-lost-and-of-a-join-later",
        "A copy whose memory was lost counts as what its last join made of it once its node has started again.",
        (Cut(DiskNotes.read_bases, "if self._is_memory_lost:", "if False:"),),
        f"{_NOTES}::test_a_copy_that_lost_something_is_of_no_join_after_a_start_of_its_node_either",
    ),
    Variant(
        "r-secondary-unsynced",
        "A secondary answers a barrier without asking its disks.",
        (Cut(StreamTracking._bring, "self._sync()", "pass"),),
        f"{_TRACKING}::test_a_writeback_that_failed_since_the_join_point_is_told",
    ),
    Variant(
        "r-copied-while-under-way",
        "What is read for a copy counts, whatever was shipped there meanwhile.",
        (
            Cut(
                _Read.is_true,
                "if self.extent is None or not self.changed:",
                "if True:\n        return True\n    if not self.changed:",
            ),
        ),
        f"{_STEADY}::test_what_is_shipped_meanwhile_is_not_missed",
    ),
    Variant(
        "r-copied-while-unapplied",
        "A block is read for a copy while a write to it is shipped and not applied.",
        (Cut(SteadyReader._read_beside, "if read.inode.pending:", "if False:"),),
        f"{_STEADY}::test_what_was_under_way_at_the_start_may_have_been_missed",
    ),
    Variant(
        "r-copied-unawares",
        "Whoever reads for a copy is not told of what is shipped meanwhile.",
        (Cut(Joiner.may_ship, "self._reader.note(operation)", "pass"),),
        f"{_COMPARING}::test_a_block_that_is_written_to_once_it_is_read_is_read_again",
    ),
    Variant(
        "r-copied-while-it-is-next",
        "An operation that is shipped next, once what it needs is listed, does not count as under way.",
        (Cut(Primary.underway_in, "if self._preparing is not None:", "if False:"),),
        f"{_PRIMARY}::test_what_waits_for_what_it_needs_to_be_listed_is_under_way",
    ),
    Variant(
        "r-copied-while-it-is-repaired",
        "A write that failed here, and is not repaired there, does not count as under way.",
        (Cut(Primary.underway_in, ", *self._repairs.operations", ""),),
        f"{_REPAIR}::test_what_finds_no_room_here_is_undone_at_the_peer_before_the_caller_is_told",
    ),
    Variant(
        "r-made-while-under-way",
        "What is read of a small file, to be sent whole, counts whatever was shipped there meanwhile.",
        (Cut(SteadyReader.read_once, "None if glance.changed or glance.inode.unlinked else result", "result"),),
        f"{_MADE}::test_what_is_under_way_on_one_when_it_is_read_is_in_it",
    ),
    Variant(
        "r-made-while-unapplied",
        "A small file is read, to be sent whole, while a write to it is shipped and not applied.",
        (Cut(SteadyReader._open, "glance.inode.pending or", ""),),
        f"{_MADE}::test_what_is_under_way_on_one_when_it_is_read_is_in_it",
    ),
    Variant(
        "r-copied-beside-new-writes",
        "New writes to a block that is written to all the time do not wait while it is read for a copy.",
        (
            Cut(
                SteadyReader._attempt,
                "self._moments.when_quiet(partial(self._read_here, read))",
                "self._read_here(read)",
            ),
        ),
        f"{_STEADY}::test_what_is_changed_all_the_time_is_read_at_a_quiet_moment",
    ),
    Variant(
        "r-moment-overtaken",
        "What comes while somebody waits for a quiet moment is shipped before it.",
        (Cut(Primary.issue, "if completions.gated:", "if False:"),),
        f"{_PRIMARY}::test_a_quiet_moment_has_nothing_under_way",
    ),
    Variant(
        "r-moment-too-early",
        "A quiet moment comes while operations are under way.",
        (Cut(Primary.rest, "if completions.idle and not completions.is_shut(Gate.REPAIR):", "if True:"),),
        f"{_PRIMARY}::test_a_quiet_moment_has_nothing_under_way",
    ),
    Variant(
        "r-join-point-with-something-left",
        "A join point is told while the content of files is left to compare.",
        (Cut(Comparing.idle, "return not under_way and", "return True or"),),
        f"{_COMPARING}::test_a_join_is_over_once_all_is_sent",
    ),
    Variant(
        "r-join-point-under-way",
        "A join point is told while operations are under way.",
        (Cut(Joiner._pump, "self._order.when_quiet(self._conclude)", "self._conclude()"),),
        f"{_COMPARING}::test_a_join_point_is_told_once_nothing_is_under_way",
    ),
)
