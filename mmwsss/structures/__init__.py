from .image_labels import stack_image_labels

__all__ = ['stack_image_labels']
