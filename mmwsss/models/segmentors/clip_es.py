"""CLIP-ES: pseudo masks from a frozen CLIP, image labels and class names; nothing is trained."""

from collections.abc import Iterator, Sequence

import torch
from mmengine.structures import BaseDataElement, PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.clip_cam import clip_cams
from mmwsss.ops.affinity import mean_attention
from mmwsss.ops.caa import class_aware_affinity
from mmwsss.ops.cam import minmax_normalize, upsample
from mmwsss.ops.multi_view import resize_to_multiple
from mmwsss.ops.pseudo_label import add_background, decide
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels

_TEST_CFG = {
    'mode': 'cam',
    'scales': (1.0,),
    'flip': False,
    'caa': {'attn_last': 8, 'box_threshold': 0.4},
    'power': 1.0,
}


@MODELS.register_module()
class CLIPES(BaseSegmentor):
    """Softmax Grad-CAM of CLIP, spread by CLIP's own attention.

    Paper: Lin et al., "CLIP is Also an Efficient Segmenter", CVPR 2023, arXiv 2212.09506. Official
    code: linyq2117/CLIP-ES.

    The frozen blocks see a batch once, the last block and its gradient all (image, class) pairs
    at once. Images are resized to multiples of the patch by Pillow's cubic filter; those of one
    size then form a batch, so that nothing is padded. Different from the official code: float32
    everywhere (``backbone.half_rounding`` aside), an image without labels becomes background
    instead of ending the run.

    Args:
        backbone: :class:`mmwsss.models.backbones.FrozenCLIP`.
        text: :class:`mmwsss.models.text_encoders.TextBank`. Other classes need other
            ``class_names`` and nothing else.
        test_cfg: ``scales`` and ``flip``, the views whose maps are averaged (official: one);
            ``caa`` with ``attn_last``, how many blocks' attention is averaged (all, if there are
            fewer), and ``box_threshold``, 0.4 (VOC) or 0.7 (COCO), or ``caa=None`` for plain
            Grad-CAM; ``power`` of the background score ``(1 - max cam) ** power``. ``mode`` is
            always ``'cam'``: image labels are needed.
        data_preprocessor: :class:`mmwsss.models.AnySizePreProcessor` with CLIP's statistics.
        train_cfg, pretrained: Not used; mmseg's ``init_model`` sets them.

    Raises:
        ValueError: Unknown keys or values in ``test_cfg``.
    """

    def __init__(
        self,
        backbone: dict,
        text: dict,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.test_cfg = {**_TEST_CFG, **(test_cfg or {})}
        self._check()
        self.backbone = MODELS.build(backbone)
        self.text = MODELS.build(text)
        self.text.encode(self.backbone)
        self.backbone.drop_text()

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Patch maps of the frozen blocks."""
        return self.backbone(inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list) -> Tensor:
        raise NotImplementedError('CLIP-ES gives maps of the image labels: use predict')

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> tuple[Tensor, ...]:
        return self.extract_feat(inputs)

    def loss(self, inputs: Tensor, data_samples: list) -> dict:
        raise NotImplementedError(
            'CLIP-ES is not trained: write its masks with tools/test.py CONFIG, then train a '
            'config of configs/segmentation on them'
        )

    @torch.no_grad()
    def predict(
        self, inputs: Tensor | Sequence[Tensor], data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Fill in ``pred_cam`` and ``pred_sem_seg`` at the images' original size.

        Args:
            inputs: Normalised images ``(3, H, W)``, not resized.
            data_samples: With ``gt_image_labels``.
        """
        data_samples = data_samples or [SegDataSample() for _ in inputs]
        image_labels = stack_image_labels(data_samples, self.text.num_classes)
        sizes = [
            tuple(sample.metainfo.get('ori_shape', image.shape[-2:])[:2])
            for image, sample in zip(inputs, data_samples, strict=True)
        ]
        cams = [
            image.new_zeros(count, *size)
            for image, count, size in zip(
                inputs, (image_labels > 0).sum(1).tolist(), sizes, strict=True
            )
        ]
        scales = self.test_cfg['scales']
        for scale in scales:
            for i, maps in self._maps(inputs, image_labels, scale):
                cams[i] += upsample(maps, sizes[i]).mean(0) / len(scales)
        for sample, hot, cam in zip(data_samples, image_labels, cams, strict=True):
            labels = hot.nonzero().flatten()
            scores = add_background(cam[None], self.test_cfg['power'])
            sample.pred_cam = BaseDataElement(cam=cam, labels=labels)
            sample.pred_sem_seg = PixelData(data=decide(scores, labels[None]))
        return data_samples

    def make_cams(self, inputs: Tensor, image_labels: Tensor) -> Tensor:
        """Maps of every (image, class) pair, image-major, classes ascending.

        Args:
            inputs: ``(B, 3, H, W)``.
            image_labels: Multi-hot ``(B, C_fg)``.

        Returns:
            ``(P, h, w)`` in [0, 1] at patch resolution.
        """
        caa = self.test_cfg['caa']
        features = self.backbone.encode(inputs, caa['attn_last'] - 1 if caa else 0)
        with torch.autocast(inputs.device.type, enabled=False):
            cams = clip_cams(self.backbone, self.text, features, image_labels)
            if not caa:
                return cams.maps
            attn = mean_attention(cams.attn, caa['attn_last'])
            refined = class_aware_affinity(attn, cams.maps, cams.image_index, caa['box_threshold'])
            return minmax_normalize(refined)

    def _maps(
        self, inputs: Sequence[Tensor], image_labels: Tensor, scale: float
    ) -> Iterator[tuple[int, Tensor]]:
        """Index and maps ``(1 or 2, K, h, w)`` of every image with labels, mirrored back."""
        norm, flip = self.data_preprocessor, self.test_cfg['flip']
        counts = (image_labels > 0).sum(1).tolist()
        groups: dict[tuple[int, ...], list[tuple[int, Tensor]]] = {}
        for i, image in enumerate(inputs):
            if counts[i]:
                view = resize_to_multiple(
                    image, scale, self.backbone.patch_size, norm.mean, norm.std
                )
                groups.setdefault(tuple(view.shape), []).append((i, view))
        for members in groups.values():
            index = [i for i, _ in members]
            batch, hot = torch.stack([view for _, view in members]), image_labels[index]
            if flip:
                batch, hot = torch.cat([batch, batch.flip(-1)]), hot.repeat(2, 1)
            maps = self.make_cams(batch, hot).split([counts[i] for i in index] * (1 + flip))
            for k, i in enumerate(index):
                views = [maps[k], maps[k + len(index)].flip(-1)] if flip else [maps[k]]
                yield i, torch.stack(views)

    def _check(self) -> None:
        cfg = self.test_cfg
        unknown = set(cfg) - set(_TEST_CFG) - {'with_cam'}
        if unknown or cfg['mode'] != 'cam':
            raise ValueError(
                f"CLIPES: test_cfg has mode='cam' and {sorted(_TEST_CFG)}, got {dict(cfg)}"
            )
        if not cfg['scales'] or min(cfg['scales']) <= 0:
            raise ValueError(f'CLIPES: test_cfg.scales must be factors > 0, got {cfg["scales"]}')
        if cfg['caa']:
            cfg['caa'] = {**_TEST_CFG['caa'], **cfg['caa']}
            if set(cfg['caa']) != set(_TEST_CFG['caa']) or cfg['caa']['attn_last'] < 1:
                raise ValueError(
                    'CLIPES: test_cfg.caa has attn_last >= 1 and box_threshold, '
                    f'got {dict(cfg["caa"])}'
                )
