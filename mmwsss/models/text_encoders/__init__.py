from .attribute_bank import AttributeTextBank
from .context_prompts import ContextPrompts
from .text_bank import TextBank

__all__ = ['AttributeTextBank', 'ContextPrompts', 'TextBank']
