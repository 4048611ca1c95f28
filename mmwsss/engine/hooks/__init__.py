from .panel_visualization import PanelVisualizationHook
from .seed_iter import SeedIterHook

__all__ = ['PanelVisualizationHook', 'SeedIterHook']
