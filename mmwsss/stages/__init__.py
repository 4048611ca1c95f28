"""Ordered stages of methods, and the folder tasks between them."""

from . import config_stages, folder_stages, mask_table
from .crf import LowHighFromCAMs, MasksFromCAMs, MasksFromMasks
from .folder import FolderTask, run_folder
from .launch import Launch
from .pipeline import Pipeline
from .ppmg import PPMGFromCAMs
from .saliency import LabelRule, MasksFromSaliency, SaliencyFromImages, SaliencyFromTruth
from .scores import ScoresFromCAMs, TwoLabelsFromCAMs

__all__ = [
    'FolderTask',
    'LabelRule',
    'Launch',
    'LowHighFromCAMs',
    'MasksFromCAMs',
    'MasksFromMasks',
    'PPMGFromCAMs',
    'MasksFromSaliency',
    'Pipeline',
    'SaliencyFromImages',
    'SaliencyFromTruth',
    'ScoresFromCAMs',
    'TwoLabelsFromCAMs',
    'config_stages',
    'folder_stages',
    'mask_table',
    'run_folder',
]
