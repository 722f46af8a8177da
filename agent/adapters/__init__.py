"""What the agent touches the world with: addresses, processes, replicators, the host. They decide nothing."""
