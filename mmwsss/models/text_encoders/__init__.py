from .attribute_bank import AttributeTextBank
from .text_bank import TextBank

__all__ = ['AttributeTextBank', 'TextBank']
