"""The bed: every activation source with every saliency source at every pair of thresholds."""

from .published import PublishedTables, published_tables
from .retrain import retrain
from .run import Bed
from .settings import BedSaliency, BedSource, parse_numbers, parse_saliency, parse_source

__all__ = [
    'Bed',
    'BedSaliency',
    'BedSource',
    'PublishedTables',
    'parse_numbers',
    'parse_saliency',
    'parse_source',
    'published_tables',
    'retrain',
]
