from tests.support.lab import bare_lab, lab

__all__ = ["bare_lab", "lab"]
