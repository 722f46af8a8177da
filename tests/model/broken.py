"""Each rule taken away, and the invariant that has to notice it: a model that notices nothing proves nothing.

The shortest trace of each is kept in ``traces/``. Some rules are one of two that guard the same thing: what the model
cannot notice alone stands in :data:`COVERED`, with the reason, and both together stand in :data:`BROKEN`.
"""

from typing import Final

from tests.model import broken_files, broken_serving
from tests.model.breaking import CLOCK, CUT, HANDED, LATE, RESUMED, SWAP, Broken, Covered

BROKEN: Final[dict[str, Broken]] = {**broken_files.BROKEN, **broken_serving.BROKEN}

COVERED: Final[dict[str, Covered]] = {
    "take_over_checks_key": Covered(
        "S1",
        "take_over_checks_key",
        SWAP,
        "whoever else becomes primary writes the record, so that its revision is another one",
        "take-over-key-and-revision",
    ),
    "change_checks_key": Covered(
        "S2",
        "change_checks_key",
        LATE,
        "whoever else becomes primary writes the record, so that its revision is another one",
        "change-key-and-revision",
    ),
    "change_checks_own_key": Covered(
        "S6",
        "change_checks_own_key",
        RESUMED,
        "a key made anew comes with a record written anew (resume)",
        "resume-rewrites-and-own-key",
    ),
    "resume_rewrites": Covered(
        "S1",
        "resume_rewrites",
        RESUMED,
        "the key is another one, and older requests test their own",
        "resume-rewrites-and-own-key",
    ),
    "closes_before_standing": Covered(
        "S3", "closes_before_standing", LATE, "frames of a lower epoch are refused", "stream-open-and-no-epochs"
    ),
    "checks_epoch": Covered(
        "S3", "checks_epoch", LATE, "the stream is closed before its node stands", "stream-open-and-no-epochs"
    ),
    "applies_what_came": Covered(
        "S3", "applies_what_came", LATE, "what it has acknowledged it has applied", "closed-unapplied"
    ),
    "unsettled_takes_no_stream": Covered(
        "S3",
        "unsettled_takes_no_stream",
        LATE,
        "a stream begins to a node that the record does not list, and to list it moves the revision by which it stood",
        "stream-while-unsettled",
    ),
    "copies_mark": Covered(
        "R",
        "copies_mark",
        CUT,
        "a new secondary's list is void until the first barrier past its join point",
        "list-valid-and-copies-unmarked",
    ),
    "list_void_until_barrier": Covered(
        "R", "list_void_until_barrier", CUT, "copies mark too", "list-valid-and-copies-unmarked"
    ),
    "unsettled_promises_nothing": Covered(
        "S5",
        "unsettled_promises_nothing",
        CLOCK,
        "it serves only once its promises have run out",
        "promise-while-unsettled",
    ),
    "serves_after_promises": Covered(
        "S5",
        "serves_after_promises",
        CLOCK,
        "it stands only then, and promises nothing while it is unsettled",
        "promise-while-unsettled",
    ),
    "resume_rewrites_serving": Covered(
        "S1, S5",
        "resume_rewrites",
        HANDED,
        "the key is another one, which whoever takes over tests",
        "resume-rewrites-serving",
    ),
    "resume_checks_key": Covered(
        "S1",
        "resume_checks_key",
        HANDED,
        "whoever has the key has written the record",
        "resume-key-and-revision-serving",
    ),
}
