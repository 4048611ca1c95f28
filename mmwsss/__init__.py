"""Weakly supervised semantic segmentation for MMSegmentation."""

from .utils import install_safe_loader, register_all_modules
from .version import __version__

# From here on no checkpoint that mmengine loads can run code.
install_safe_loader()

__all__ = ['__version__', 'register_all_modules']
