"""The file system in front of a replicated directory: the kernel's protocol, spoken directly."""
