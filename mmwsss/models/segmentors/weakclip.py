"""WeakCLIP: CLIP learns from pseudo masks of any method, and makes better ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmwsss.models.backbones.clip_vit import CLIPRequest
from mmwsss.models.utils.crf import refine_present
from mmwsss.models.utils.widths import check_width
from mmwsss.ops.clip.score_map import score_map
from mmwsss.ops.dense_crf.target import grid_images
from mmwsss.ops.losses.seeds import all_pixel_cross_entropy
from mmwsss.ops.multi_view import merge_logits
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.structures import supervised_label
from mmwsss.utils.arguments import FLAG, NUMBER, POSITIVE, WEIGHT, WHOLE, checked, number, several
from mmwsss.utils.checks import some
from mmwsss.utils.io import IGNORE, strange_values_hint

from .base import WSSSSegmentor
from .sliding import SlidingSettings, fitted_views

_SCORE_LEVEL = 2  # the map of the patches' own stride


@dataclass(frozen=True)
class WeakCLIPSettings(SlidingSettings):
    """It makes no maps."""

    predict_choices: ClassVar = ('seg',)
    not_used: ClassVar = ('long_side', 'sizes')
    seg_only: ClassVar = ()


@MODELS.register_module()
@checked(
    out_indices=several(WHOLE),
    drop_path=number(0, 1, open_high=True),
    pyramid_scores=FLAG,
    train_adapter=FLAG,
    tau=POSITIVE,
    score_weight=WEIGHT,
    residual=NUMBER,
    class_ids=several(WHOLE),
)
class WeakCLIP(WSSSSegmentor):
    """Refines finished masks (Zhu et al., IJCV 2024, 10.1007/s11263-024-02224-2; hustvl/WeakCLIP).

    Learned contexts and class names go through CLIP's text tower; texts and the image's tokens look
    at each other (co-attention); their cosines, a score map, join the pyramid of CLIP's blocks,
    which a semantic FPN decodes. It learns from pseudo masks by a seeding and a boundary loss and
    by the score map's cross-entropy. Image labels play no part.

    Differences from the official code, all by switches: CLIP is frozen, where the official schedule
    lets it move by a rate of up to 1e-6; layers and a neighbour graph that change nothing are left
    out; texts are encoded once per test.

    Args:
        backbone: :class:`mmwsss.models.backbones.TunableCLIP`; ``frozen=False`` is the official
            training, with its rate multiplier of 0 and a schedule that ends at 1e-6.
        adapter: :class:`mmwsss.models.layers.clip_pyramid.CLIPPyramid`.
        prompts: :class:`mmwsss.models.text_encoders.ContextPrompts`.
        co_attention: :class:`mmwsss.models.layers.co_attention.CoAttentionDecoder`; with
            ``decouple=False`` the image's embeddings stay as they are.
        neck: mmseg's ``FPN``.
        decode_head: :class:`mmwsss.models.decode_heads.SeedFPNHead`.
        out_indices: Blocks whose tokens the adapter gets.
        drop_path: Stochastic depth of the last block, in training, also of a frozen CLIP.
        pyramid_scores: The score map joins all levels, or that of the patches' stride alone.
        train_adapter: The adapter is trained, as in the paper; the official training leaves it as
            it was drawn, except for the rate of up to 1e-6. With ``backbone.frozen=False`` it
            follows the schedule.
        tau: Temperature of the score map's loss.
        score_weight: Weight of that loss.
        residual: Initial weights of the residuals of texts and image.
        class_ids: For every label of the data its class in the network, where the network has more
            classes: the released COCO network counts raw category ids, 91 with ten that never
            occur. None: labels are classes.
        kwargs: Arguments of :class:`WSSSSegmentor`; ``test_cfg``: :class:`WeakCLIPSettings`.

    Raises:
        ValueError: Parts that do not fit each other; says which.
    """

    settings_type = WeakCLIPSettings

    def __init__(
        self,
        backbone: dict,
        adapter: dict,
        prompts: dict,
        co_attention: dict,
        neck: dict,
        decode_head: dict,
        out_indices: Sequence[int] = (3, 5, 7, 11),
        drop_path: float = 0.1,
        pyramid_scores: bool = True,
        train_adapter: bool = False,
        tau: float = 0.07,
        score_weight: float = 0.4,
        residual: float = 0.1,
        class_ids: Sequence[int] | None = None,
        **kwargs,
    ) -> None:
        parts = dict(
            backbone=backbone,
            adapter=adapter,
            prompts=prompts,
            co_attention=co_attention,
            neck=neck,
            decode_head=decode_head,
        )
        super().__init__(parts, **kwargs)
        self.out_indices, self.drop_path = tuple(out_indices), drop_path
        self.pyramid_scores, self.tau, self.score_weight = pyramid_scores, tau, score_weight
        width = self.backbone.text_tower.text_projection.shape[1]
        self.gamma = nn.Parameter(torch.full((width,), residual))
        if self.co_attention.decouple:
            self.beta = nn.Parameter(torch.full((width,), residual))
        self.adapter.requires_grad_(train_adapter or not self.backbone.frozen)
        ids = range(self.decode_head.num_classes) if class_ids is None else class_ids
        self.register_buffer('class_ids', torch.tensor(list(ids)), persistent=False)
        self._texts: tuple[object, Tensor] | None = None
        self._check_parts()

    def _check_parts(self) -> None:
        names, classes = len(self.prompts.class_names), self.decode_head.num_classes
        if names != classes:
            raise ValueError(
                f'prompts.class_names has {names} names, decode_head.num_classes is {classes}: '
                'they must be one for each class, background first'
            )
        ids = self.class_ids.tolist()
        if len(set(ids)) != len(ids) or not 0 <= min(ids) <= max(ids) < classes:
            raise ValueError(
                f'class_ids must be different classes of the {classes} of the network, got {ids}'
            )
        if len(self.out_indices) != 4 or max(self.out_indices) >= self.backbone.num_layers:
            raise ValueError(
                f'out_indices must be four of the {self.backbone.num_layers} blocks, got '
                f'{self.out_indices}'
            )
        self._check_widths()
        positions = len(self.backbone.text_tower.positional_embedding)
        if self.prompts.length > positions:
            raise ValueError(
                f'prompts have {self.prompts.length} tokens (num_contexts + name_tokens), the text '
                f'tower has {positions} positions: raise backbone.context_length'
            )

    def _check_widths(self) -> None:
        words = self.backbone.text_tower.token_embedding.embedding_dim
        tokens = self.backbone.embed_dims
        clip = 'of backbone.checkpoint'
        joined = range(4) if self.pyramid_scores else (_SCORE_LEVEL,)
        levels = [tokens + self.decode_head.num_classes * (i in joined) for i in range(4)]
        for key, width, source, given in (
            ('adapter.channels', self.adapter.channels, f'the width of the tokens {clip}', tokens),
            ('prompts.width', self.prompts.width, f'the width of the texts {clip}', words),
            ('co_attention.dim', self.co_attention.dim, f'the embedding {clip}', len(self.gamma)),
            (
                'neck.in_channels',
                list(self.neck.in_channels),
                'adapter.channels, with decode_head.num_classes more for every level with scores,',
                levels,
            ),
            (
                'decode_head.in_channels',
                list(self.decode_head.in_channels),
                'neck.out_channels of each level',
                [self.neck.out_channels] * 4,
            ),
        ):
            check_width(key, width, source, given)

    def train(self, mode: bool = True) -> WeakCLIP:
        """Texts are encoded anew behind every training."""
        self._texts = None
        return super().train(mode)

    def class_texts(self) -> Tensor:
        """Embeddings of the classes ``(K, D)``; one computation serves a whole test."""
        tower, contexts = self.backbone.text(), self.prompts.contexts
        if torch.is_grad_enabled():
            return self.prompts(tower)
        used = (contexts, *tower.parameters())
        state = tuple((p.data_ptr(), p._version) for p in used)  # changes with every new value
        if self._texts is None or self._texts[0] != state:
            self._texts = state, self.prompts(tower)
        return self._texts[1]

    def extract_feat(self, inputs: Tensor) -> tuple[list[Tensor], Tensor, tuple[int, int]]:
        """Pyramid of the image and its tokens in the space of the texts.

        Returns:
            Four maps, the tokens ``(B, 1 + N, D)`` with the class token first, and the grid of the
            others.
        """
        drop_path = self.drop_path if self.training else 0.0
        request = CLIPRequest(last=True, projected=True, double_class=True, drop_path=drop_path)
        features = self.backbone.encode(inputs, request)
        maps = features.patch_maps()
        return (
            self.adapter([maps[i] for i in self.out_indices]),
            features.projected,
            features.grid,
        )

    def fuse(
        self, levels: list[Tensor], tokens: Tensor, grid: tuple[int, int]
    ) -> tuple[list[Tensor], Tensor]:
        """Score map of texts and image, and the levels that it has joined.

        Args:
            levels, tokens, grid: See :meth:`extract_feat`.

        Returns:
            Four maps with K more channels (one of them without ``pyramid_scores``), and the score
            map ``(B, K, h, w)``.
        """
        text = self.class_texts().expand(len(tokens), -1, -1)
        text_residual, visual_residual = self.co_attention(text, tokens)
        text = text + self.gamma * text_residual
        if visual_residual is not None:
            tokens = tokens + self.beta * visual_residual
        patches = tokens[:, 1:].transpose(1, 2).unflatten(2, grid)
        scores = score_map(patches, text)
        joined = range(4) if self.pyramid_scores else (_SCORE_LEVEL,)
        levels = [
            torch.cat([x, upsample(scores, x.shape[-2:], align_corners=True)], 1)
            if i in joined
            else x
            for i, x in enumerate(levels)
        ]
        return levels, scores

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> logits ``(B, K, H/4, W/4)``."""
        levels, _ = self.fuse(*self.extract_feat(inputs))
        return self.decode_head(self.neck(levels))

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Seeding, boundary and score loss against the masks in ``gt_sem_seg``.

        Raises:
            ValueError: A mask is missing, or holds labels that are no class; names the image.
        """
        label = supervised_label(data_samples)
        label = self._network_label(label, data_samples)
        images = self.loss_images(inputs)
        levels, scores = self.fuse(*self.extract_feat(inputs))
        return self.losses(levels, scores, label, images)

    def losses(
        self,
        levels: list[Tensor],
        scores: Tensor,
        label: Tensor,
        images: Tensor,
        target: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The three losses.

        Args:
            levels, scores: See :meth:`fuse`.
            label: ``(B, H, W)`` int64.
            images, target: See :meth:`mmwsss.models.decode_heads.SeedFPNHead.losses`.
        """
        losses = self.decode_head.losses(self.neck(levels), label, images, target)
        loss_score = all_pixel_cross_entropy(scores.float() / self.tau, label, IGNORE)
        return dict(losses, loss_score=self.score_weight * loss_score)

    def loss_images(self, inputs: Tensor) -> Tensor:
        """Pixels on the grid of the loss, for its CRF."""
        norm = self.data_preprocessor
        return grid_images(inputs, norm.mean, norm.std, self.decode_head.loss_size)

    def _network_label(self, label: Tensor, data_samples: list[SegDataSample]) -> Tensor:
        """Labels of the data as classes of the network."""
        count = len(self.class_ids)
        wrong = (label >= count) & (label != IGNORE)
        if not wrong.any():
            table = label.new_full((IGNORE + 1,), IGNORE)
            table[:count] = self.class_ids
            return table[label]
        image = int(wrong.flatten(1).any(dim=1).nonzero()[0])
        ids = label[image][wrong[image]].unique().tolist()
        meta = data_samples[image].metainfo
        name = meta.get('seg_map_path', meta.get('img_path', 'an image'))
        raise ValueError(
            f'the mask of {name} holds the labels {some(ids)}, but the network has {count} '
            f'classes (0..{count - 1}, {IGNORE} for unknown); {strange_values_hint(ids, count)}'
        )

    def merged_logits(self, inputs: Tensor) -> Tensor:
        """Scores of the labels, all views merged at the size of the input."""
        cfg = self.settings
        merged = merge_logits(self.views(inputs), inputs.shape[-2:], cfg.merge, flip=cfg.flip)
        return merged[:, self.class_ids]

    def view_scores(self, inputs: Tensor) -> Tensor:
        """Logits of the labels in one view."""
        return self.encode_decode(inputs)[:, self.class_ids]

    def views(self, inputs: Tensor) -> Iterator[Tensor]:
        """Logits of every view, those of mirror images mirrored back."""
        norm = self.data_preprocessor
        return fitted_views(self.encode_decode, inputs, self.settings, norm.mean, norm.std)

    def refine_scores(self, inputs: Tensor, scores: Tensor, probabilities: bool) -> Tensor:
        """CRF among the classes that are somewhere the most probable, as published.

        Their probabilities are not renormalised; the others get 0.
        """
        crf = self.settings.crf
        if crf is None:
            return scores
        prob = scores if probabilities else scores.softmax(dim=1)
        return refine_present(inputs, prob, self.data_preprocessor, **crf)
