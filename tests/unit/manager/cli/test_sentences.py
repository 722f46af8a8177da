import string

import pytest

from manager.cli.sentences import SENTENCES, sentence
from manager.model.reasons import Reason


def test_there_is_one_for_every_reason_and_no_other() -> None:
    assert set(SENTENCES) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_each_is_a_sentence_about_the_module_and_node(reason: Reason) -> None:
    told = sentence(reason, "db", "a")
    assert told.says.endswith(".")
    assert told.says[0].isupper() or told.says.startswith(("a ", "etcd "))
    for text in (SENTENCES[reason].says, SENTENCES[reason].remedy):
        fields = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        assert fields <= {"module", "node"}
    assert "{" not in told.says + told.remedy


BLOCKING = (
    Reason.NO_DATA_NAMED,
    Reason.NOT_IN_SYNC,
    Reason.REBOOTED_SINCE_LISTED,
    Reason.DISK_IDENTITY_MISSING,
    Reason.DISK_OF_OTHER_CLUSTER,
    Reason.STORE_WENT_BACK,
    Reason.STORE_UNREACHABLE,
    Reason.REPLICATOR_FAILED,
    Reason.APPLICATION_FAILED,
    Reason.ADDRESS_IN_USE,
    Reason.INTERNAL_ERROR,
    Reason.NODE_NOT_STARTED,
    Reason.NO_SECONDARY,
    Reason.SECONDARY_NOT_IN_SYNC,
    Reason.BUSY,
    Reason.SET_ASIDE_FULL,
    Reason.SET_ASIDE_FAILED,
    Reason.LAST_PRIMARY_REGISTERED,
    Reason.LAST_PRIMARY_ANSWERS,
    Reason.NEWER_COPY_THERE,
    Reason.NOT_CONFIRMED_OFF,
    Reason.FENCING_FAILED,
)


@pytest.mark.parametrize("reason", BLOCKING)
def test_what_needs_somebody_says_what_to_do(reason: Reason) -> None:
    assert sentence(reason, "db", "a").remedy


def test_a_newer_agents_word_is_shown_as_it_is() -> None:
    assert sentence("solar_flare", "db", "a").says == "The agent says: solar_flare."
    assert sentence("", "db", "a").says == "The cause is not known."
