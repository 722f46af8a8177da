"""The store: everything the cluster decides from, in etcd, behind one adapter.

``api`` is what the rest of Mirrorfarm sees; ``etcd`` is the adapter over python-etcd3; ``fake`` is an etcd in
memory with a clock turned by hand, held to the same contract tests.
"""
