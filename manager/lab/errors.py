"""What can go wrong with the lab, in the words that the person in front of it reads."""

from manager.model.errors import MirrorfarmError


class LabError(MirrorfarmError):
    """Something is missing, refused, or did not come about; the message says what and, where it can, what to do."""
