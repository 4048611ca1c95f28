"""The former place of :mod:`mmwsss.stores.label_file`, for scripts that still name it."""

from ..stores.label_file import encode_image_labels, read_label_file, write_label_file

__all__ = ['encode_image_labels', 'read_label_file', 'write_label_file']
