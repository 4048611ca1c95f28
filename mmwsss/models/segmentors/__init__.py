from .clip_segmentor import CLIPSegmentor
from .weclip import WeCLIP

__all__ = ['CLIPSegmentor', 'WeCLIP']
