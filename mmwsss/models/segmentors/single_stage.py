"""What methods that learn masks from image labels in a single training run share."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from mmengine.logging import MessageHub
from mmengine.structures import BaseDataElement, PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.cam_modes import CAMModes
from mmwsss.models.utils.crf import full_size_scores
from mmwsss.ops.multi_view import merge_logits, pair_means, resize_long_side, view_maps
from mmwsss.ops.two_threshold import truncated_pixels
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels


class SingleStageWSSS(CAMModes, BaseSegmentor):
    """A backbone with a CAM head and a segmentation head that learns from its CAMs.

    A method gives :meth:`loss`, which makes its labels itself, and :meth:`predict_cams`.

    Args:
        backbone: Feature extractor.
        cam_head: :class:`mmwsss.models.decode_heads.CAMHead`.
        decode_head: Any decode head of mmseg.
        loss_schedule: ``{loss: [(start, weight), ...]}``: from iteration ``start`` (from 0) on a
            loss has this weight, and 0 before the first start. A loss that is not named has
            weight 1. While a weight is 0 the loss stays in the graph, so that its parameters get
            zero gradients, and AdamW's decay and step count, as in the official codes. The names
            are those in ``loss_names`` of the method.
        cam_scales: Scales of the multi-scale CAMs, 1 among them.
        train_cfg, pretrained: Not used; mmseg's ``init_model`` sets them.
        test_cfg: ``mode``: ``'seg'`` predicts with the segmentation head and never looks at image
            labels; ``'cam'`` gives ``pred_cam`` and the pseudo mask as ``pred_sem_seg`` for the
            classes in the image labels. ``with_cam=True`` adds ``pred_cam`` and
            ``pred_pseudo_mask`` to the samples in ``'seg'`` mode, for pictures. Of ``'seg'``:
            ``long_side`` (resize so that the longer side has this many pixels; None keeps the
            size), ``scales`` and ``flip`` (mean over an image and its mirror image, maximum over
            the scales, of logits), ``crf`` (arguments of
            :func:`mmwsss.models.utils.crf.refine_with_crf`, or None).
        data_preprocessor: mmseg's, with the statistics the method was published with.

    Raises:
        ValueError: The heads do not have the same classes, scale 1 is missing, or
            ``loss_schedule`` names a loss that there is not.
    """

    align_corners = False
    loss_names: tuple[str, ...] = ('loss_cls', 'loss_seg')

    crf_in_test_cfg = True

    def __init__(
        self,
        backbone: dict,
        cam_head: dict,
        decode_head: dict,
        loss_schedule: Mapping[str, Sequence[tuple[int, float]]] | None = None,
        cam_scales: Sequence[float] = (1.0, 0.5, 1.5),
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.cam_head = MODELS.build(cam_head)
        self.decode_head = MODELS.build(decode_head)
        self.loss_schedule = dict(loss_schedule or {})
        self.cam_scales = tuple(cam_scales)
        self.test_cfg = test_cfg or {}
        if self.decode_head.num_classes != self.cam_head.num_classes + 1:
            raise ValueError(
                f'decode_head.num_classes is {self.decode_head.num_classes}, but cam_head has '
                f'{self.cam_head.num_classes} classes: it must be one more, for the background'
            )
        if 1 not in self.cam_scales:
            raise ValueError(f'cam_scales must contain 1.0, got {self.cam_scales}')
        if unknown := sorted(set(self.loss_schedule) - set(self.loss_names)):
            raise ValueError(
                f'loss_schedule has {", ".join(unknown)}, but the losses are {self.loss_names}'
            )

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of the backbone."""
        return self.backbone(inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> segmentation logits ``(B, 1 + C_fg, h, w)``."""
        return self.decode_head(self.extract_feat(inputs))

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        return self.encode_decode(inputs)

    @property
    def iteration(self) -> int:
        """Iteration of the training, from 0."""
        return MessageHub.get_current_instance().get_info('iter', 0)

    def loss_weight(self, name: str) -> float:
        """Weight of a loss in this iteration; see ``loss_schedule``."""
        steps = self.loss_schedule.get(name, ((0, 1.0),))
        return next((w for start, w in sorted(steps, reverse=True) if self.iteration >= start), 0.0)

    def weigh_losses(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Multiply every ``loss_*`` by its weight in this iteration.

        Raises:
            ValueError: A head gives a loss another name than ``loss_names``.
        """
        names = {name for name in losses if name.startswith('loss')}
        if unknown := sorted(names - set(self.loss_names)):
            raise ValueError(
                f'loss_schedule cannot know {", ".join(unknown)}: the losses are '
                f'{self.loss_names}; set decode_head.loss_decode.loss_name to loss_seg'
            )
        return {
            name: self.loss_weight(name) * value if name in names else value
            for name, value in losses.items()
        }

    def pixels(self, inputs: Tensor) -> Tensor:
        """Images in 0..255 (see :func:`mmwsss.ops.two_threshold.truncated_pixels`)."""
        return truncated_pixels(inputs, self.data_preprocessor.mean, self.data_preprocessor.std)

    @abstractmethod
    def predict_cams(self, inputs: Tensor, image_labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cams ``(B, K, H, W)`` in [0, 1], classes ``(B, K)`` and pseudo mask ``(B, H, W)``."""

    def add_cams(self, inputs: Tensor, data_samples: list[SegDataSample]) -> None:
        """Fill in ``pred_cam`` and ``pred_pseudo_mask`` for the classes in the image labels."""
        image_labels = stack_image_labels(data_samples, self.cam_head.num_classes)
        cams, classes, label = self.predict_cams(inputs, image_labels)
        for i, sample in enumerate(data_samples):
            known = classes[i] >= 0
            sample.pred_cam = BaseDataElement(cam=cams[i, known], labels=classes[i, known])
            sample.pred_pseudo_mask = PixelData(data=label[i : i + 1])

    def seg_scores(self, inputs: Tensor) -> Tensor:
        """Logits, or the CRF's posterior, ``(B, 1 + C_fg, H, W)`` at the size of the input."""
        logits = self.merged_logits(inputs)
        return full_size_scores(logits, inputs, self.data_preprocessor, self.test_cfg.get('crf'))

    def merged_logits(self, inputs: Tensor) -> Tensor:
        """Logits of all views of ``test_cfg`` together, at the resolution of the head."""
        cfg = self.test_cfg
        view = resize_long_side(inputs, cfg['long_side']) if cfg.get('long_side') else inputs
        # the first scale sets the size at which the logits meet
        scales = sorted(cfg.get('scales', (1.0,)), key=lambda scale: scale != 1)
        flip = cfg.get('flip', False)
        views = view_maps(self.encode_decode, view, scales, flip)
        return merge_logits(pair_means(views) if flip else views, mode='logit_max')


def label_samples(label: Tensor) -> list[SegDataSample]:
    """Label maps ``(B, H, W)`` as the samples that mmseg's heads take their truth from."""
    return [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in label[:, None]]
