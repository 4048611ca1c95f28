from .launch import load_config
from .test import test_from_cfg
from .train import train_from_cfg
from .wsss_inferencer import WSSSInferencer

__all__ = ['WSSSInferencer', 'load_config', 'test_from_cfg', 'train_from_cfg']
