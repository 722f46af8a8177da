"""An older minor release is spoken to: its forms are kept here as it wrote them, and today's are read by its reader.

A directory a release, written by that release's own code (``python -m tests.unit.compat.freeze``) and never changed
after it. What each interface promises is in docs/adr/0020-releases-side-by-side.md.
"""
