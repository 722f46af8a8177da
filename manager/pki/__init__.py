"""The cluster's own authority: it makes the nodes' certificates, renews and revokes them.

Nothing here talks to etcd or to an agent; who carries the files to the nodes is the operator. What a node shows of them
is here too (``credentials``), for its agent and its replicators.
"""
