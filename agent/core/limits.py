"""How long the core waits for what, in nanoseconds: every wait has a limit."""

from agent.core.settings import SECOND_NS

COMMIT_RETRY_NS = SECOND_NS // 2
"""After a transaction that was not answered, or refused."""
STAND_RESERVE_NS = SECOND_NS
"""A node stands only with so much of its lease left."""
PREFER_LAST_NS = 10 * SECOND_NS
"""How long the last primary goes first while it is registered and wants to run."""
HOLD_STAND_NS = 10 * SECOND_NS
"""How long a node that has resigned lets another listed one go first, if none does before."""
REPLICATOR_START_NS = 30 * SECOND_NS
SERVE_NS = 60 * SECOND_NS
CLOSE_STREAM_NS = 10 * SECOND_NS
FREEZE_NS = 30 * SECOND_NS
ADDRESSES_NS = 20 * SECOND_NS
ADDRESS_RETRY_NS = 10 * SECOND_NS
OFFER_NS = 10 * SECOND_NS
"""How long a hand-over is offered before it is withdrawn."""
UNHEARD_NS = 2 * SECOND_NS
"""How long a primary that has frozen waits for etcd before it serves on instead of offering its place: an election of
etcd's own, or another member, takes less."""
NEXT_OFFER_NS = 30 * SECOND_NS
"""After an offer that was not taken: what serves, or is about to, is not stopped again before."""
NEXT_OFFER_UNFIT_NS = 5 * SECOND_NS
"""The same where nothing can serve on this node."""
STOP_LAST_NS = 30 * SECOND_NS
"""How long the primary of a full stop waits for the others, and they for it, beyond the application's stop."""
ADOPT_NS = 10 * SECOND_NS
KILL_NS = 10 * SECOND_NS
"""After so long a node resigns although not everything is dead, once what its warden was told is over as well: its
addresses' lives end by themselves."""
JOIN_AGAIN_NS = SECOND_NS
"""After a join that broke off, before it is asked for anew."""
PEER_ASKED_NS = 15 * SECOND_NS
"""A Peer command without a connection is given up and told again."""
STABLE_NS = 3 * SECOND_NS
"""So long a peer that was lost lately must have been connected before it is listed again (S10)."""
LATELY_NS = 60 * SECOND_NS
"""The longest that this grows to, each loss doubling it; so long after its last loss any peer is taken as stable."""
FLAPS_FORGOTTEN_NS = 600 * SECOND_NS
"""After so long without a loss the next one is the first again."""
PREFERRED_READY_NS = 10 * SECOND_NS
"""So long the preferred primary must have been ready as a secondary before it is handed the module."""
PREFER_AGAIN_NS = 600 * SECOND_NS
"""After a hand-over that was not taken: each costs the application a stop and a start."""
REPLICATOR_LIVED_NS = 60 * SECOND_NS
"""A replicator that lived so long has not failed in a row."""
LONGEST_BACKOFF_NS = 60 * SECOND_NS
FAILURES_SHOWN = 3
"""So many failures in a row are shown as blocked."""
APPLICATION_LIVED_NS = 60 * SECOND_NS
"""An application that ran so long and ended is started again where there is no other node for it."""
ENDED_LATELY_NS = 3600 * SECOND_NS
"""So long after an application had to leave the other node for this one, it does not go back for its end, nor for the
preferred primary's sake: one that ends everywhere would go to and fro."""
NO_ADDRESS_LATELY_NS = 60 * SECOND_NS
"""So long it does not go back for want of addresses, which are tried here again and again meanwhile."""
FORCING_STEP_NS = 90 * SECOND_NS
"""How long each step of looking into a forced start may take: the replicator's start, the hook, the asking."""
FORCED_FOR_NS = 30 * SECOND_NS
"""So long after another node was asked, and did not answer, this one may stand in its place."""
REQUEST_SLACK_NS = 60 * SECOND_NS
"""What an operator's request may take beyond the application's stop and start."""


def backoff_ns(failures: int) -> int:
    """The pause before the next start after so many failures in a row."""
    return 0 if failures <= 0 else min(LONGEST_BACKOFF_NS, SECOND_NS << min(failures - 1, 10))
