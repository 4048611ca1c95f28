"""Weakly supervised semantic segmentation for MMSegmentation."""

from .openmp import spin_briefly

spin_briefly()

from .utils import install_safe_loader, register_all_modules  # noqa: E402
from .version import __version__  # noqa: E402

# From here on no checkpoint that mmengine loads can run code.
install_safe_loader()

__all__ = ['__version__', 'register_all_modules']
