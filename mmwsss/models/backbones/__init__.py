from .clip_vit import CLIPFeatures, FrozenCLIP

__all__ = ['CLIPFeatures', 'FrozenCLIP']
