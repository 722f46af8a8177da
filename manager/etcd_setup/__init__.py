"""The cluster's own etcd: three members with TLS, and users who may do what they need and no more.

It writes files and asks etcd once; who carries the files, and starts etcd, is the operator. The agents do not use it:
what they ask of etcd goes through ``manager.store``.
"""
