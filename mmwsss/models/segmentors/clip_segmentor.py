"""Frozen CLIP with a trained decoder."""

import torch
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.crf import full_size_scores
from mmwsss.ops.multi_view import mean_of_views, resize_long_side
from mmwsss.registry import MODELS


@MODELS.register_module()
class CLIPSegmentor(BaseSegmentor):
    """A decoder on frozen CLIP tokens, trained on the masks it is given.

    With true masks it is the upper bound of the weakly supervised methods that share its decoder;
    with pseudo masks it is their retraining.

    Args:
        backbone: Frozen CLIP (:class:`mmwsss.models.backbones.FrozenCLIP`).
        decode_head: Decoder (:class:`mmwsss.models.decode_heads.WeCLIPHead`).
        train_cfg, pretrained: Not used; mmseg's ``init_model`` sets them.
        test_cfg: ``long_side`` (resize so that the longer side has this many pixels; None keeps
            the size), ``scales`` and ``flip`` (views whose logits are averaged), ``crf``
            (arguments of
            :func:`mmwsss.models.utils.crf.refine_with_crf`, or None).
        data_preprocessor: mmseg's, with the statistics the method was published with.
    """

    align_corners = False

    crf_in_test_cfg = True

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.decode_head = MODELS.build(decode_head)
        self.test_cfg = test_cfg or {}
        if len(self.decode_head.layers) != self.backbone.num_layers - 1:
            raise ValueError(
                f'decode_head.num_layers is {len(self.decode_head.layers)}, but the CLIP has '
                f'{self.backbone.num_layers} blocks: it must be one less'
            )

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Patch maps of the frozen blocks."""
        return self.backbone(inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images -> ``seg_logits`` at patch resolution ``(B, C, h, w)``."""
        features = self.backbone.encode(inputs)
        return self.decode_head(features.tokens, features.grid)[0]

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        return self.encode_decode(inputs)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses against ``gt_sem_seg``."""
        features = self.backbone.encode(inputs)
        seg_logits, affinity = self.decode_head(features.tokens, features.grid)
        label = torch.stack([s.gt_sem_seg.data.squeeze(0) for s in data_samples])
        return self.decode_head.loss_by_feat(seg_logits, affinity, label)

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Fill in ``seg_logits`` and ``pred_sem_seg`` at the images' original size."""
        return self.postprocess_result(self.seg_scores(inputs), data_samples)

    def seg_scores(self, inputs: Tensor) -> Tensor:
        """Logits, or the CRF's posterior, ``(B, C, H, W)`` at the size of the input."""
        logits = mean_of_views(
            self.encode_decode,
            self._test_view(inputs),
            self.test_cfg.get('scales', (1.0,)),
            self.test_cfg.get('flip', False),
        )
        crf = self.test_cfg.get('crf')
        return full_size_scores(logits, inputs, self.data_preprocessor, crf)

    def _test_view(self, inputs: Tensor) -> Tensor:
        long_side = self.test_cfg.get('long_side')
        return resize_long_side(inputs, long_side) if long_side else inputs
