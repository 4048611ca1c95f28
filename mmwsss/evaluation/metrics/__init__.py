from .wsss_iou import WSSSIoUMetric, parse_thresholds

__all__ = ['WSSSIoUMetric', 'parse_thresholds']
