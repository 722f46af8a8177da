"""``mirrorfarm check``: what on this machine, in its configuration or in etcd would hurt, each with its remedy."""
