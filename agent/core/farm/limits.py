"""How long the core of a farm waits for what, in nanoseconds, beside what any module's does (``agent.core.limits``)."""

from agent.core.farm.settings import DEAD_AFTER_NS, SECOND_NS

NEXT_IN_TURN_NS = SECOND_NS // 2
"""So much longer than the one before it each node waits before it stands as director of an address."""
RENEWED_LATELY_NS = SECOND_NS
"""An agent that directs renews its registration twice as often."""
DIRECT_RETRY_NS = 10 * SECOND_NS
"""After a node could not answer for an address."""
RULES_RETRY_NS = 2 * SECOND_NS
GENTLY_MOST_NS = 5 * SECOND_NS
"""So long at the most the slots of a node that stops go to others step by step: some tables, in each node's kernel."""
HAND_ON_MOST_NS = GENTLY_MOST_NS + 3 * SECOND_NS
"""So long at the most it waits until what begins goes to others, though they be given its slots in one step."""
HANDSHAKE_NS = SECOND_NS // 2
"""So long after nothing comes to it any more a node goes on accepting what was begun there."""
TOLD_NS = SECOND_NS // 2
"""Within it a director has asked again."""
SWITCHED_NS = SECOND_NS
"""So long after a table was written the kernel of a director that does not say so shares by it, as a rule."""
COUNT_EVERY_NS = SECOND_NS // 2
"""Twice as long with each count that was like the one before it."""
COUNT_AT_LEAST_EVERY_NS = 5 * SECOND_NS
"""Slots wait for it. But where a count takes long, so much longer: of 100,000 connections one takes a second of CPU."""
COUNT_REST, COUNT_LONG_REST = 4, 10
"""So many times what a count took is the least time to the next one, and the longest where nothing changes."""
COUNT_NS = 5 * SECOND_NS
"""A count that was not answered is asked for again."""
SETTLE_NS = 5 * SECOND_NS
"""So long slots that are idle wait for others that leave, as each table is loaded by all nodes; for half of them."""
JOIN_AGAIN_NS = 3 * SECOND_NS
"""So long a node that was lost must be ready again before it is given slots: each loss breaks connections."""
AGENT_AWAY_NS = 15 * SECOND_NS
"""So long a member whose agent is away, or takes over what the former one left, keeps what it has."""
REFUSED_NS = DEAD_AFTER_NS + SECOND_NS
"""So long a refusal says that a machine lives: Linux sends six at once and then one a second, and one may be lost."""
HAND_AGAIN_NS = 600 * SECOND_NS
"""So long a node that has lost an address which it was handed is not handed it again: a loss of it costs a moment."""
LOOK_NS = SECOND_NS // 2
"""How often a director looks at least."""
GAP_NS = SECOND_NS
"""A node that has not looked for so long was frozen: what it did not hear meanwhile says nothing about others."""
EXTEND_AT_LEAST_NS = DEAD_AFTER_NS // 4
"""By less the life of what a node answers for is not extended: answers come more often."""
PROMISE_NS = DEAD_AFTER_NS
"""For so long, from when it was asked, a node that has promised a director does not direct its address."""
