"""Whole clusters of shipped cores on one clock: what may happen to them, and what must hold whatever happens.

Shipped: the agent's core (``agent.core.mirror.step_by``), its transactions and views; of the replicator the completions
(``replicator.core.completions``), and what the other node may lack: how it is tracked, kept on the disk, forgotten by
barriers, and begun at a secondary (``replicator.core.tracking``, ``dirty_keeper``, ``barriers``, ``stream_tracking``).
Modelled, by the same rules: the agent's runtime (``agent``, ``lease_keeping``, ``watch``, ``storelink``), the
replicator around these (``replicator``, ``primary``, ``resync``, ``stream``), machines, disks, clocks, links and etcd
(``machine``, ``volume``, ``private``, ``clockwork``, ``network``, ``etcd``), the application and its clients
(``workload``), and who operates it (``operating``).

``checkers`` has the promises. ``faults`` makes a schedule of ``actions`` from a seed; ``scenario`` plays one that was
written, beside what it must come to. ``broken`` takes the rules away one at a time. ``schedule`` is how things happen
in a run. ``waking`` looks at whether a core has asked for each instant at which time alone gives it something to do.
``farm`` has farms in the place of mirrors, with checkers, faults, actions and broken variants of its own.

    tox run -e simulation                                     what CI runs: 2,100 runs, the scenarios, the variants
    tox run -e simulation -- -k "everything" --seed 7         one run
    MIRRORFARM_SOAK=1 tox run -e simulation                   100,000 runs, other ones each time
    tox run -e simulation -- -k "scenario or broken" --rewrite   keep what scenarios and traces show now

Not reached from here: what files are like (names, attributes, sizes), the stream's bytes, FUSE, and the real etcd's own
faults; these have tests of their own (``tests/integration``, ``tests/robustness``).
"""
