"""The shared vocabulary of Mirrorfarm: ids, states, records, keys, configuration, messages.

Standard library only, no I/O: the agent and the replicator both import it.
"""
