"""The real files: how operations change them, what identifies them, what can be said of the disk they are on."""
