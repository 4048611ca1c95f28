from .wsss_iou import WSSSIoUMetric

__all__ = ['WSSSIoUMetric']
