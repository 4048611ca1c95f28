from .text_bank import TextBank

__all__ = ['TextBank']
