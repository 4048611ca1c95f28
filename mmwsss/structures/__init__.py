from .image_boxes import stack_image_boxes
from .image_labels import stack_image_labels

__all__ = ['stack_image_boxes', 'stack_image_labels']
