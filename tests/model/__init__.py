"""An exhaustive model of the mirror's protocol: every interleaving within small bounds (docs/MODEL.md)."""
