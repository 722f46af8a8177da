"""The commands, a module for each group: ``add`` declares the command line, ``run_*`` does it."""
