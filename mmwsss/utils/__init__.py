from .checkpoint import install_safe_loader, load_checkpoint_file
from .setup_env import register_all_modules

__all__ = ['install_safe_loader', 'load_checkpoint_file', 'register_all_modules']
