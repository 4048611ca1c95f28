from .weclip_head import WeCLIPHead

__all__ = ['WeCLIPHead']
