"""The operator's command ``mirrorfarm``."""
