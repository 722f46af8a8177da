"""The rules by which no two nodes serve (S5, S7), each taken away."""

from typing import Final

from tests.model.breaking import ADDING, CLOCK, GIVEN, GIVEN_LATE, HANDED, SLOW, THREE_CLOCKS, Broken

BROKEN: Final[dict[str, Broken]] = {
    "lease-from-answer": Broken("S5", "counts a lease from its answer", ("lease_from_sending",), SLOW, "S5"),
    "promise-from-answer": Broken("S5", "counts a promise from its answer", ("promise_from_asking",), CLOCK, "S5"),
    "one-promise-of-two": Broken(
        "S5", "serves by one node's promise where the record lists two others", ("every_promise",), THREE_CLOCKS, "S5"
    ),
    "unsettled-drop-done": Broken(
        "S5", "takes itself for alone by a drop without an answer", ("unsettled_may_list",), SLOW, "S5"
    ),
    "unsettled-add-not-done": Broken(
        "S5", "takes itself for alone beside an add without an answer", ("unsettled_may_list",), ADDING, "S5"
    ),
    "adds-past-told": Broken(
        "S5, S7",
        "alone: adds a node though its warden was told of an instant past its lease",
        ("adds_within_told",),
        ADDING,
        "S5",
    ),
    "promise-not-kept": Broken(
        "S5",
        "stands although it has promised not to",
        ("keeps_promise",),
        CLOCK,
        "S5",
    ),
    "promise-forgotten": Broken(
        "S5", "stands at once after a restart, whatever it may have promised", ("waits_after_restart",), CLOCK, "S5"
    ),
    "promise-while-unsettled": Broken(
        "S3, S5",
        "promises while its own transaction is unsettled, and serves without waiting for its promises",
        ("unsettled_promises_nothing", "serves_after_promises"),
        CLOCK,
        "S5",
    ),
    "promise-ended-by-trying": Broken(
        "S5", "its promise ends when it tries to take over, not when it has", ("only_taken_ends_promise",), HANDED, "S5"
    ),
    "released-alive": Broken(
        "S5", "says that its place is free while its application lives", ("released_when_dead",), GIVEN, "S5"
    ),
    "released-for-ever": Broken(
        "S5", "takes an earlier epoch's release for this one's", ("released_for_its_epoch",), GIVEN, "S5"
    ),
    "offer-while-serving": Broken("S1, S5", "offers its place while it serves", ("offers_frozen",), HANDED, "S5"),
    "withdraw-by-time-serving": Broken(
        "S1, S5", "serves again after an offer without writing the record anew", ("withdraws_by_writing",), HANDED, "S5"
    ),
    "elect-key-serving": Broken("S1, S5", "stands although there is a primary key", ("elect_checks_key",), CLOCK, "S5"),
    "elect-revision-serving": Broken(
        "S1, S5", "stands on a record that has changed since it was read", ("elect_checks_revision",), CLOCK, "S5"
    ),
    "resume-revision-serving": Broken(
        "S1, S5", "resumes although the record has changed", ("resume_checks_revision",), HANDED, "S5"
    ),
    "resume-key-and-revision-serving": Broken(
        "S1, S5",
        "resumes whoever is primary, and whatever the record",
        ("resume_checks_key", "resume_checks_revision"),
        HANDED,
        "S5",
    ),
    "resume-rewrites-serving": Broken(
        "S1, S5",
        "resumes without writing the record anew, and takes over whosever the key is",
        ("resume_rewrites", "change_checks_key"),
        HANDED,
        "S5",
    ),
    "change-key-serving": Broken(
        "S1, S5", "gives up a place whosever the key is", ("change_checks_key",), GIVEN_LATE, "S5"
    ),
    "change-revision-serving": Broken(
        "S2, S5", "changes a record that has changed since", ("change_checks_revision",), ADDING, "S5"
    ),
    "serves-past-limit": Broken("S7", "serves on past its limit", ("stops_at_limit",), CLOCK, "S5"),
}
