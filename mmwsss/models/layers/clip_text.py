"""The text tower of CLIP, apart from its vision tower."""

from open_clip.model import CLIP
from torch import Tensor, nn

from mmwsss.ops.clip.vit import encode_text


class CLIPText(nn.Module):
    """Text tower of CLIP; gradients pass through it, to contexts that are learned.

    Args:
        clip: Whose modules it takes over.
    """

    def __init__(self, clip: CLIP) -> None:
        super().__init__()
        self.token_embedding = clip.token_embedding
        self.positional_embedding = clip.positional_embedding
        self.transformer = clip.transformer
        self.ln_final = clip.ln_final
        self.text_projection = clip.text_projection

    def forward(self, tokens: Tensor, contexts: Tensor | None = None) -> Tensor:
        """See :func:`mmwsss.ops.clip.vit.encode_text`."""
        return encode_text(self, tokens, contexts=contexts)
