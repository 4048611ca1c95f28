from .image_boxes import stack_image_boxes
from .image_labels import stack_image_labels
from .maps import Maps
from .true_labels import supervised_label

__all__ = ['Maps', 'stack_image_boxes', 'stack_image_labels', 'supervised_label']
