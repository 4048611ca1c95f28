"""Checkpoints of other codes in our names: a table of names for each code.

``tools/model_converters/convert.py`` is their command line. The modules need no network and import
nothing of :mod:`mmwsss.models`.
"""

from .rename import rename_keys
from .state import convert_file, read_state

__all__ = ['convert_file', 'read_state', 'rename_keys']
