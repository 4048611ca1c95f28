from ..stages import Launch, Pipeline, run_folder
from ..stages.evaluate import PredictionFolder, eval_folder
from ..stages.launch import load_config
from ..stages.predict import make_pseudo_masks
from .bed import run_bed
from .pseudo_data import make_pseudo_data
from .review import review_masks, review_pipeline
from .sweep_walk import sweep_walk
from .test import test_from_cfg
from .train import train_from_cfg
from .wsss_inferencer import WSSSInferencer

__all__ = [
    'Launch',
    'Pipeline',
    'PredictionFolder',
    'WSSSInferencer',
    'eval_folder',
    'load_config',
    'make_pseudo_data',
    'make_pseudo_masks',
    'run_bed',
    'review_masks',
    'review_pipeline',
    'run_folder',
    'sweep_walk',
    'test_from_cfg',
    'train_from_cfg',
]
