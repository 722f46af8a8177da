"""What the cluster is and how it is steered: vocabulary, store, configuration, CLI, lab."""

__version__ = "0.1.0"
