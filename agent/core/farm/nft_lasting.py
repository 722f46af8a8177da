"""What outlasts the rules of a farm module in the kernel, made before them: sets, and how long a connection is known
that has ended. Pure.

It is told in nft's own language: 1.0.6 takes the policy of timeouts in JSON, and leaves it out. And it is a transaction
of its own: where a set and the rule that fills it are of one, nft 1.0.6 marks the set as dynamic, which JSON cannot ask
for; and takes it for another one when it is asked for again. What is there already stays as it is, with what is in it.
"""

from agent.core.farm.nft_fragments import KEPT_S, MOST, memories
from agent.core.farm.nft_json import table_name
from agent.core.farm.ruleset import Ruleset

ENDED_S = 10
"""So long the kernel knows a TCP connection whose both ends have said that it is over, instead of two minutes: an entry
for each of those would fill its table at 2,200 new ones a second. Whoever has not heard the last word asks again within
a second or two; and a client's port comes again later than that, or with a SYN, which begins anew."""
ENDED = f"ended/{ENDED_S}"
"""The name of the timeouts; they cannot be changed, so that others need another name."""


def preparing(ruleset: Ruleset) -> str:
    """Makes what the rules of ``ruleset`` name, and changes nothing else."""
    table = table_name(ruleset.module)
    lines = [f"add table netdev {table}", f"add table inet {table}"]
    lines += [_remembered(table, name) for sharing in ruleset.sharings if sharing.port for name in memories(sharing)]
    # The others are as the machine has them at this moment (nf_conntrack_tcp_timeout_*).
    lines.append(f"add ct timeout inet {table} {ENDED} {{ protocol tcp ; policy = {{ time_wait : {ENDED_S} }} ; }}")
    return "".join(f"{line}\n" for line in lines)


def _remembered(table: str, name: str) -> str:
    """A set of marks that rules put into it; each is forgotten a while after it was put there last."""
    return f"add set netdev {table} {name} {{ type mark ; size {MOST} ; flags timeout ; timeout {KEPT_S}s ; }}"
