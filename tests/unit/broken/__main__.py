"""Writes the table in docs/SAFETY.md."""

from tests.unit.broken.table import rewrite

rewrite()
