from .export import FORMATS, Exported, check_format, export_masks
from .formats import ExportOptions, Format, Picture
from .regions import Region, class_regions, connected_regions, outline

__all__ = [
    'FORMATS',
    'ExportOptions',
    'Exported',
    'Format',
    'Picture',
    'Region',
    'check_format',
    'class_regions',
    'connected_regions',
    'export_masks',
    'outline',
]
