"""Measurements. A claim about speed comes from here: side by side in one run, as a ratio."""
