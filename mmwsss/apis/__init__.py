from .launch import load_config
from .test import test_from_cfg
from .train import train_from_cfg

__all__ = ['load_config', 'test_from_cfg', 'train_from_cfg']
