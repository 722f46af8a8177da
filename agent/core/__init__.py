"""What one agent decides: pure. No I/O, clock, randomness, log or await in here."""
