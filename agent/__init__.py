"""The node agent: elects, registers, moves addresses, runs the application."""
