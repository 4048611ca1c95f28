"""A classifier whose class activation maps are the seeds of the next stage."""

from mmengine.structures import BaseDataElement, PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.ops.cam import merge_cams
from mmwsss.ops.multi_view import make_resize, view_maps
from mmwsss.ops.pseudo_label import add_background, decide, threshold_label
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels

MODES = ('cam', 'seg')


@MODELS.register_module()
class CAMClassifier(BaseSegmentor):
    """Multi-label classifier; trained with image labels only, tested for activation maps.

    With :class:`ResNet38d` or :class:`VGG16d` it is the first stage of PSA (Ahn and Kwak, CVPR
    2018, arXiv 1803.10464; official code: jiwoon-ahn/psa), with mmseg's ``ResNet`` the CAM
    baseline of IRN (Ahn et al., CVPR 2019, arXiv 1904.05044; official code: jiwoon-ahn/irn).

    Args:
        backbone: Feature extractor.
        decode_head: :class:`mmwsss.models.decode_heads.CAMHead`.
        train_cfg, pretrained: Not used; mmseg's ``init_model`` sets them.
        test_cfg: ``mode`` ``'cam'`` (maps of the classes in the image labels) or ``'seg'`` (of the
            classes that the classifier itself gives a probability above 0.5; image labels are
            never looked at); ``scales``, ``flip`` and ``resize``, the views, as in
            :func:`mmwsss.ops.multi_view.view_batches`; ``merge``, a convention of
            :func:`mmwsss.ops.cam.merge_cams`; the background of ``pred_sem_seg``, a constant
            ``background`` or ``power`` for ``(1 - max cam) ** power``.
        data_preprocessor: mmseg's, with the statistics the backbone was trained with.

    Raises:
        ValueError: Unknown ``test_cfg.mode``.
    """

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
        if self.test_cfg.get('mode', 'cam') not in MODES:
            raise ValueError(f'test_cfg.mode must be one of {MODES}, not {self.test_cfg["mode"]!r}')

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of the backbone."""
        return self.backbone(inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> activation maps of all classes ``(B, K, h, w)``."""
        return self.decode_head.cam(self.extract_feat(inputs))

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        return self.encode_decode(inputs)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Multi-label soft margin against the image labels."""
        image_labels = stack_image_labels(data_samples, self.decode_head.num_classes)
        return self.decode_head.loss(self.extract_feat(inputs), image_labels)

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Fill in ``pred_cam`` and ``pred_sem_seg`` at the images' original size."""
        data_samples = data_samples or [SegDataSample() for _ in inputs]
        labels = self._labels(inputs, data_samples)
        views = self._views(inputs)
        for i, sample in enumerate(data_samples):
            classes = labels[i].nonzero().flatten()
            size = sample.metainfo.get('ori_shape', inputs.shape[-2:])[:2]
            cam = merge_cams(
                (view[i, classes] for view in views),
                size,
                self.test_cfg.get('merge', 'psa'),
                self.test_cfg.get('flip', False),
            ).clamp(0, 1)
            sample.pred_cam = BaseDataElement(cam=cam, labels=classes)
            sample.pred_sem_seg = PixelData(data=self._decide(cam[None], classes[None]))
        return data_samples

    def _labels(self, inputs: Tensor, data_samples: list[SegDataSample]) -> Tensor:
        """Multi-hot ``(B, K)`` of the classes whose maps are wanted."""
        if self.test_cfg.get('mode', 'cam') == 'cam':
            return stack_image_labels(data_samples, self.decode_head.num_classes)
        return self.decode_head(self.extract_feat(inputs)).sigmoid() > 0.5

    def _views(self, inputs: Tensor) -> list[Tensor]:
        """Maps of all classes in every view, mirrored back, each ``(B, K, h, w)``."""
        cfg, norm = self.test_cfg, self.data_preprocessor
        mean, std = (getattr(norm, name, None) for name in ('mean', 'std'))
        resize = make_resize(cfg.get('resize', 'pil_cubic'), mean, std)
        return list(
            view_maps(
                lambda batch: self.decode_head.scores(self.extract_feat(batch)),
                inputs,
                cfg.get('scales', (1.0,)),
                cfg.get('flip', False),
                resize,
            )
        )

    def _decide(self, cams: Tensor, classes: Tensor) -> Tensor:
        power = self.test_cfg.get('power')
        if power is not None:
            return decide(add_background(cams, power), classes)
        return threshold_label(cams, classes, self.test_cfg.get('background', 0.2))
