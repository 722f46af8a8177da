"""The rules by which nothing is lost, each taken away, and the invariant that has to notice it."""

from typing import Final

from tests.model.breaking import (
    ALONE,
    AWAY,
    CUT,
    FAILS,
    LATE,
    LOST,
    POWER,
    RESTORED,
    RESUMED,
    SWAP,
    THREE,
    VOIDED,
    Broken,
)
from tests.model.plans import CREATE, RENAME, TWO_ZONES, UNLINK, WRITE
from tests.model.state import Budget
from tests.model.world import Bounds

BROKEN: Final[dict[str, Broken]] = {
    # --- S1
    "elect-key": Broken("S1", "stands although there is a primary key", ("elect_checks_key",), LATE, "P1"),
    "elect-revision": Broken(
        "S1, S11", "stands on a record that has changed since it was read", ("elect_checks_revision",), LATE, "P4"
    ),
    "elect-membership": Broken("S1", "stands without being listed", ("elect_checks_membership",), POWER, "P4"),
    "resume-revision": Broken(
        "S1",
        "resumes an epoch although the record has changed",
        ("resume_checks_revision",),
        Bounds((WRITE,), Budget(lease=2, cut=1, sync=1), epochs=2),
        "P4",
    ),
    "resume-other-process": Broken(
        "S1, S10",
        "a replicator that starts goes on as primary in the same epoch",
        ("resume_same_process",),
        Bounds((WRITE,), Budget(power=1, crash=1, cut=1, sync=2), epochs=3),
        "R1",
    ),
    "resume-rewrites-and-own-key": Broken(
        "S1, S6",
        "resumes without writing the record anew, and tests its key by name and epoch alone",
        ("resume_rewrites", "change_checks_own_key"),
        RESUMED,
        "P4",
    ),
    "take-over-revision": Broken(
        "S1", "takes over on a record that has changed since the offer", ("take_over_checks_revision",), SWAP, "P4"
    ),
    "take-over-key-and-revision": Broken(
        "S1",
        "takes over whosever the key is, and whatever the record",
        ("take_over_checks_key", "take_over_checks_revision"),
        SWAP,
        "P4",
    ),
    "take-over-boot": Broken(
        "S1, S8",
        "takes over after a reboot",
        ("take_over_checks_boot",),
        Bounds((WRITE,), Budget(power=1, delay=1, swap=1, sync=1), epochs=3),
        "P1",
    ),
    "offer-undrained": Broken("S1", "offers its place while operations are under way", ("offers_drained",), SWAP, "P1"),
    "offer-unfrozen": Broken("S1", "issues on after its offer", ("offers_frozen",), SWAP, "P1"),
    "withdraw-by-time": Broken(
        "S1, S6", "goes on after an offer without writing the record anew", ("withdraws_by_writing",), SWAP, "P1"
    ),
    # --- S2
    "release-before-settled": Broken(
        "S2", "completes without a node as soon as it asks for its being dropped", ("holds_until_settled",), LATE, "P"
    ),
    "complete-without-drop": Broken("S2", "completes without a node that is lost", ("drops_settled",), LATE, "P3"),
    "change-key-and-revision": Broken(
        "S2, S11",
        "changes the record whosever the key is, and whatever the record",
        ("change_checks_key", "change_checks_revision"),
        LATE,
        "P3",
    ),
    "change-revision": Broken(
        "S2, S6", "changes a record that has changed since", ("change_checks_revision",), LOST, "P4"
    ),
    "acknowledge-received": Broken("S2", "acknowledges what was received", ("acknowledges_applied",), POWER, "P1"),
    "join-point-not-waited-for": Broken(
        "S2", "completes without a node past its join point", ("waits_from_join_point",), CUT, "P1"
    ),
    "join-point-in-memory": Broken(
        "S2", "lists a node that has everything in memory only", ("join_point_durable",), ALONE, "P2"
    ),
    "unknown-add-not-waited-for": Broken(
        "S2", "completes without a node whose being listed is in doubt", ("unknown_is_member",), LOST, "P1x"
    ),
    # --- S3
    "stream-open-and-no-epochs": Broken(
        "S3",
        "stands with its stream open, and takes frames of a lower epoch",
        ("closes_before_standing", "checks_epoch"),
        POWER,
        "R1",
    ),
    "stream-while-unsettled": Broken(
        "S1, S3",
        "takes a stream while its own stand may still be executed, whatever the record is then",
        ("unsettled_takes_no_stream", "elect_checks_revision"),
        LATE,
        "P4",
    ),
    "closed-unapplied": Broken(
        "S2, S3",
        "acknowledges what was received, and stands without applying it",
        ("acknowledges_applied", "applies_what_came"),
        LATE,
        "P1",
    ),
    # --- S4
    "local-first": Broken("S4", "applies here before the peer has", ("peer_first",), POWER, "R1"),
    # --- S6
    "settled-by-reading": Broken(
        "S6",
        "takes what it reads for the outcome of a transaction without an answer",
        ("settles_by_writing",),
        LOST,
        "P4",
    ),
    "unknown-is-failed": Broken(
        "S6", "takes a transaction without an answer for failed, or done", ("unknown_is_not_failed",), LATE, "P4"
    ),
    # --- S8
    "any-boot": Broken("S8", "stands after a reboot as if it had kept its memory", ("checks_boot",), POWER, "P1"),
    "absence-read": Broken(
        "S8", "stands after a reboot because nobody else was there a moment ago", ("tests_in_transaction",), AWAY, "P1x"
    ),
    "boot-renewed": Broken(
        "S8", "a record written anew shows the boot ids of the moment", ("keeps_boot",), AWAY, "P1x"
    ),
    "restored-store": Broken("S8", "stands by a store that was restored", ("checks_store",), RESTORED, "P4"),
    "restored-store-by-epoch": Broken(
        "S8", "looks at the epoch alone to see that a store was restored", ("checks_store_identity",), RESTORED, "P4"
    ),
    # --- S9
    "unnamed-data": Broken(
        "S9",
        "stands where there is no record, unnamed",
        ("data_is_named",),
        Bounds((WRITE,), Budget(), epochs=2, start="first"),
        "P4",
    ),
    # --- S10 and the resync
    "join-uncopied": Broken("S10", "lists a node to which not all was copied", ("copied_before_join",), ALONE, "R1"),
    "forgets-when-copied": Broken(
        "S10, R", "forgets a zone once it was copied, before it is on both disks", ("forgets_at_barrier",), POWER, "R1"
    ),
    "marks-when-applied": Broken(
        "R", "marks a zone when it is applied here, not when it is shipped", ("marks_when_shipped",), POWER, "R1"
    ),
    "marks-after-applying": Broken("R", "alone: marks on disk after applying", ("marks_before_applying",), ALONE, "R1"),
    "forgets-by-one-disk": Broken(
        "R", "forgets what is on the peer's disk, though it is not on its own", ("forgets_by_own",), POWER, "R1"
    ),
    "forgets-by-own-disk": Broken(
        "R", "forgets what is on its own disk, though it is not on the peer's", ("forgets_by_other",), POWER, "R1"
    ),
    "forgets-all-at-barrier": Broken(
        "R", "forgets all zones at a barrier, those shipped after it too", ("forgets_by_sequence",), POWER, "R1"
    ),
    "list-not-on-disk": Broken(
        "R", "serves alone with its list in memory only", ("list_on_disk_before_alone",), POWER, "R1"
    ),
    "list-not-voided": Broken(
        "R", "tracks in memory while an older list stands on its disk", ("list_on_disk_voided",), VOIDED, "R1"
    ),
    "list-valid-and-copies-unmarked": Broken(
        "R",
        "a new secondary's list about the primary is valid at once, and copies do not mark",
        ("copies_mark", "list_void_until_barrier"),
        CUT,
        "R1",
    ),
    "returning-without-its-list": Broken(
        "R",
        "with two secondaries: one that returns does not add its own list",
        ("returning_adds_its_list",),
        THREE,
        "R1",
    ),
    "rename-out-of-uncopied-zone": Broken(
        "R",
        "a rename from a zone that is still to be copied marks the other one as shipped",
        ("spanning_marks_all",),
        Bounds((CREATE, RENAME), Budget(cut=1, sync=1), epochs=2, zones=TWO_ZONES),
        "R1",
    ),
    "copies-busy-zone": Broken(
        "R",
        "reads a block for a copy while an operation on its zone is not applied",
        ("copies_quiet_zones",),
        POWER,
        "R1",
    ),
    "repairs-busy-zone": Broken(
        "R",
        "reads a block for a repair while an operation on its zone is not applied",
        ("repairs_quiet_zones",),
        FAILS,
        "R1",
    ),
    "failed-apply-unmarked": Broken(
        "R", "an operation that fails here does not mark its zone again", ("failed_apply_marks",), FAILS, "R1"
    ),
    "reconnects-other-process": Broken(
        "R",
        "another process takes up a stream that was cut",
        ("same_process_reconnects",),
        Bounds((WRITE, WRITE), Budget(power=1, crash=1, cut=1, sync=1), epochs=3, reconnects=True),
        "R1",
    ),
    "sent-twice": Broken(
        "R",
        "a stream goes on after what was acknowledged, not after what was applied",
        ("goes_on_where_applied",),
        Bounds((CREATE, UNLINK), Budget(cut=1, sync=1), epochs=2, reconnects=True),
        "P5",
    ),
}
