from .walk_sweep import WalkSweepMetric
from .wsss_iou import WSSSIoUMetric, parse_thresholds

__all__ = ['WSSSIoUMetric', 'WalkSweepMetric', 'parse_thresholds']
