"""The rules that the model keeps, each of which can be taken away. All hold unless a test breaks one on purpose.

The names of docs/SAFETY.md stand before each (S1 to S11); "R" are those of the resync, which tracks what another
node lacks. ``broken`` says which invariant has to notice each.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Rules:
    """Which rules hold."""

    # S1: three ways to be primary
    elect_checks_key: bool = True
    elect_checks_revision: bool = True
    elect_checks_membership: bool = True
    resume_checks_revision: bool = True
    resume_rewrites: bool = True
    resume_same_process: bool = True
    """A replicator that starts is never primary of an epoch that was served before it."""
    take_over_checks_key: bool = True
    take_over_checks_revision: bool = True
    take_over_checks_boot: bool = True
    offers_drained: bool = True
    offers_frozen: bool = True
    withdraws_by_writing: bool = True
    """An offer ends by the record's being written anew, not by time."""
    # S2: who must have it
    holds_until_settled: bool = True
    drops_settled: bool = True
    """A node that is lost is dropped by a transaction before anything completes without it."""
    change_checks_key: bool = True
    change_checks_own_key: bool = True
    """The key's very creation, not only that it is of this node and epoch."""
    change_checks_revision: bool = True
    acknowledges_applied: bool = True
    waits_from_join_point: bool = True
    join_point_durable: bool = True
    unknown_is_member: bool = True
    # S3: epochs
    closes_before_standing: bool = True
    applies_what_came: bool = True
    checks_epoch: bool = True
    unsettled_takes_no_stream: bool = True
    # S4: the peer goes first
    peer_first: bool = True
    # S6: unknown is not failed
    settles_by_writing: bool = True
    unknown_is_not_failed: bool = True
    # S8: who may stand
    checks_boot: bool = True
    tests_in_transaction: bool = True
    """That the other members are back with a new boot id, or not registered, is tested in the transaction itself."""
    keeps_boot: bool = True
    """The record's boot id is the one with which the node was listed; who writes it anew does not renew it."""
    checks_store: bool = True
    checks_store_identity: bool = True
    # S9: the first start
    data_is_named: bool = True
    # S10, and the resync
    copied_before_join: bool = True
    forgets_at_barrier: bool = True
    marks_when_shipped: bool = True
    marks_before_applying: bool = True
    spanning_marks_all: bool = True
    """An operation on a zone that is still to be copied (a rename out of it) makes all its zones such."""
    copies_mark: bool = True
    forgets_by_own: bool = True
    """What a barrier forgets is on this node's disk."""
    forgets_by_other: bool = True
    """And on the other one's."""
    forgets_by_sequence: bool = True
    list_on_disk_before_alone: bool = True
    list_on_disk_voided: bool = True
    list_void_until_barrier: bool = True
    returning_adds_its_list: bool = True
    copies_quiet_zones: bool = True
    repairs_quiet_zones: bool = True
    failed_apply_marks: bool = True
    # A stream that was cut short
    same_process_reconnects: bool = True
    goes_on_where_applied: bool = True

    def without(self, *names: str) -> "Rules":
        """These broken."""
        return replace(self, **dict.fromkeys(names, False))
