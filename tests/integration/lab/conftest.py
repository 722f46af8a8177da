from tests.support.lab import bare_lab, lab
from tests.support.recorded_fixtures import cluster, worked

__all__ = ["bare_lab", "cluster", "lab", "worked"]
