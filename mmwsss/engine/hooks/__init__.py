from .freeze_backbone import FreezeBackbone
from .panel_visualization import PanelVisualizationHook
from .seed_iter import SeedIterHook

__all__ = ['FreezeBackbone', 'PanelVisualizationHook', 'SeedIterHook']
