"""Rules of the cores that no simulated run notices, since another one stands in: a test of the core itself does."""

from agent.core import (
    absorbing_replicator,
    fencing,
    following,
    forcing,
    leaving,
    membership,
    promising,
    requests,
    standing,
    transactions,
    vouching,
)
from replicator.core.completions import Completions
from replicator.vouching import Vouching
from tests.unit.broken.variant import Cut, Variant

_FORCING = "unit/agent/core/test_forcing.py"
_PROMISING = "unit/agent/core/test_promising.py"
_SCENES = "unit/agent/core/test_scenarios.py"
_STANDING = "unit/agent/core/test_standing.py"
_VOUCHED = "unit/agent/core/test_vouching.py"
_COMPLETIONS = "unit/replicator/core/test_completions.py"

VARIANTS = (
    Variant(
        "s1-elects-beside-a-key",
        "An election does not test that there is no primary key.",
        (Cut(transactions.elect, "(absent, *guards)", "guards"),),
        f"{_FORCING}::test_a_copy_is_forced_when_the_other_is_said_to_be_off_and_does_not_answer",
    ),
    Variant(
        "s1-takes-over-whosever-the-key-is",
        "A hand-over does not test the key of the one that offers.",
        (Cut(transactions.take_over, "(theirs,)", "()"),),
        f"{_SCENES}::test_a_hand_over_tests_the_key_of_the_one_that_offers_and_the_record",
    ),
    Variant(
        "s1-resumes-and-writes-nothing-anew",
        "A resume leaves the record as it is.",
        (Cut(transactions.resume, "_anew(state.insync.record)", "state.insync.record"),),
        f"{_PROMISING}::test_a_key_that_expired_is_written_anew_in_the_same_epoch",
    ),
    Variant(
        "s1-resumes-with-another-process",
        "It resumes although the other one listed is another process by now.",
        (Cut(promising.resume, " or not _same_processes(state)", ""),),
        f"{_PROMISING}::test_it_does_not_resume_with_another_process_at_the_other_end",
    ),
    Variant(
        "s1-withdraws-by-time",
        "What was offered is withdrawn by time, and the record not written anew.",
        (Cut(leaving.cancel, "if leaving.offered_ns:", "if False:"),),
        f"{_SCENES}::test_an_offer_that_is_not_taken_is_withdrawn_by_writing_the_record",
    ),
    Variant(
        "s2-loss-past-the-join-point",
        "Who is lost past its join point, and not listed, is no matter of the record.",
        (
            Cut(
                absorbing_replicator.lost,
                "fence = state.fence_record or peer.link is Link.COMPLETE",
                "fence = state.fence_record",
            ),
        ),
        f"{_SCENES}::test_a_peer_lost_past_its_join_point_before_it_was_stable_has_the_record_written",
    ),
    Variant(
        "s2-streams-before-it-is-settled",
        "A stream is asked for before the record is settled without the node.",
        (Cut(membership._tell_peer, "if not _is_settled_without(state, node, now_ns):", "if False:"),),
        f"{_SCENES}::test_a_lost_peer_is_taken_out_before_completions_go_on",
    ),
    Variant(
        "s2-an-older-record",
        "An older record's settling is taken after a newer one's.",
        (Cut(Completions.settled, "if number < self._number:", "if False:"),),
        f"{_COMPLETIONS}::test_a_record_that_is_older_than_one_that_is_known_changes_nothing",
    ),
    Variant(
        "s3-follows-while-its-stand-is-unsettled",
        "A node takes a stream while its own stand may still execute.",
        (Cut(following.follow, "not _may_take_a_stream(state) or ", ""),),
        f"{_SCENES}::test_while_its_own_election_may_still_be_executed_it_follows_nobody",
    ),
    Variant(
        "s5-an-epoch-that-etcd-does-not-know",
        "A promise does not bind in a restored etcd that does not know the epoch for which it was given.",
        (Cut(promising.bound_ns, " or state.promised_epoch > record.epoch", ""),),
        f"{_PROMISING}::test_a_promise_binds_in_a_restored_etcd_as_well",
    ),
    Variant(
        "s5-lists-past-the-lease",
        "A node is listed though the lease is about to end, or the warden knows of more.",
        (Cut(membership.wanted_holders, " and _may_serve_beside_another(state, now_ns)", ""),),
        f"{_PROMISING}::test_alone_it_lists_nobody_while_it_has_told_that_it_may_serve_past_its_lease",
    ),
    Variant(
        "s5-another-process-promised",
        "The promise of a former process of the other node counts.",
        (Cut(promising._given_ns, 'given.instance == instance != ""', "True"),),
        f"{_PROMISING}::test_the_promise_of_another_process_than_the_listed_one_counts_for_nothing",
    ),
    Variant(
        "s5-promises-without-end",
        "A secondary promises for as long as it is asked, key or not.",
        (
            Cut(
                promising._may_promise,
                "state.primary_gone_ns is None or now_ns < state.primary_gone_ns + state.settings.ttl_ns",
                "True",
            ),
        ),
        f"{_PROMISING}::test_without_the_key_it_promises_for_one_ttl_more",
    ),
    Variant(
        "s5-promised-past-an-offer",
        "A promise counts although this primary has offered its place.",
        (Cut(promising.proof_ns, " or state.is_offering", ""),),
        f"{_PROMISING}::test_once_its_place_is_offered_no_promise_counts",
    ),
    Variant(
        "s5-released-and-alive",
        "A place counts as given up though not all that served is dead.",
        (Cut(fencing.resign, "nothing_left = state.killing is None and", "nothing_left = True or"),),
        f"{_PROMISING}::test_a_place_counts_as_given_up_once_all_that_served_is_dead",
    ),
    Variant(
        "s7-left-by-a-former-agent",
        "An agent does not end at once what a former one left of a module that is not to run.",
        (Cut(fencing.kill, "or _left_behind(state)", ""),),
        f"{_SCENES}::test_what_a_former_agent_left_is_killed_when_the_module_is_not_wanted",
    ),
    Variant(
        "s8-known-by-its-id-alone",
        "Whether etcd knows the epoch and revision that the disk has seen is not looked at.",
        (Cut(vouching.disk_objection, "(disk.epoch > state.epoch or disk.revision > state.revision)", "False"),),
        f"{_SCENES}::test_who_may_not_stand",
    ),
    Variant(
        "s8-decided-for-a-lower-epoch",
        "The epoch that an operator begins is not above all that disks have seen.",
        (Cut(standing._decided, "above=highest_epoch(state)", "above=1"),),
        f"{_VOUCHED}::test_the_new_epoch_is_above_all_that_the_disks_have_seen",
    ),
    Variant(
        "s8-decided-after-one-lease",
        "An operator decides in a restored etcd after a lease's time, though one may have been renewed there once.",
        (Cut(requests._is_new_store, "2 * ttl_ns", "ttl_ns"),),
        f"{_VOUCHED}::test_he_is_heard_once_the_longest_lease_that_is_shown_has_ended_though_it_was_renewed_there_once",
    ),
    Variant(
        "s8-heard-of-counts",
        "An agent shows the epoch that is followed as that of the copy.",
        (Cut(absorbing_replicator._following, "state.disk.copy_epoch", "epoch"),),
        f"{_SCENES}::test_what_the_copy_is_of_is_known_once_its_join_is_through",
    ),
    Variant(
        "s8-serves-for-another-epoch",
        "A node serves on whose key is of another epoch than it serves.",
        (Cut(fencing._without_right, "if _serves_another_epoch(state):", "if False:"),),
        f"{_VOUCHED}::test_a_primary_does_not_serve_on_for_a_key_of_an_older_epoch",
    ),
    Variant(
        "s12-diverged-and-vouching",
        "A copy that another one went on without vouches for what it was.",
        (Cut(Vouching.identity, " or self.is_diverged()", ""),),
        "unit/replicator/test_vouching.py::test_a_disk_on_which_something_is_to_be_set_aside_spoils_it_for_all",
    ),
    Variant(
        "s12-forced-beside-a-newer-copy",
        "Another node that the record lists, and that is there, is no hindrance.",
        (
            Cut(
                standing._against_forcing,
                "if any(_is_registered(state, node) for node in _other_holders(state, record)):",
                "if False:",
            ),
        ),
        f"{_FORCING}::test_while_another_node_that_has_everything_is_there",
    ),
    Variant(
        "s12-forced-beside-the-last-primary",
        "A last primary that is registered is no hindrance, if it does not answer.",
        (Cut(standing._against_forcing, "if _is_registered(state, record.last_primary):", "if False:"),),
        f"{_FORCING}::test_while_the_last_primary_is_registered_nobody_is_asked_nor_turned_off",
    ),
    Variant(
        "s12-forced-epoch-too-low",
        "The forced epoch is above the record's, whatever disks have seen.",
        (Cut(standing._forced, "max(record.epoch, highest_epoch(state))", "record.epoch"),),
        f"{_FORCING}::test_both_that_etcd_is_another_one_and_the_record_are_accepted_one_after_the_other",
    ),
    Variant(
        "s12-forced-within-its-promise",
        "A node is forced within its own promise.",
        (Cut(standing._forced, "if now_ns < promised_ns:", "if False:"),),
        f"{_FORCING}::test_within_its_own_promise_it_stands_only_once_that_is_over",
    ),
    Variant(
        "s12-forced-unlooked-at",
        "Of a copy that followed no new process looks whether it is in the middle of a join.",
        (Cut(forcing._next, "if state.rep is not Rep.IDLE:", "if False:"),),
        f"{_FORCING}::test_one_that_followed_may_be_in_the_middle_of_a_join_which_its_next_process_tells",
    ),
    Variant(
        "s12-asked-on-another-day",
        "A request from before the agent began is taken up.",
        (Cut(forcing.begin, "if seen.create_revision <= state.first_revision:", "if False:"),),
        f"{_FORCING}::test_what_was_asked_before_this_etcd_was_looked_at_is_not_taken_up",
    ),
)
