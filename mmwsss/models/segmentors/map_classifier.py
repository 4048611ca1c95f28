"""Classifiers whose class maps are the seeds of a later stage."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from mmwsss.ops.cam import CONVENTIONS, merge_cams
from mmwsss.ops.pairs import pack_present
from mmwsss.ops.pseudo_label import add_background, decide
from mmwsss.ops.resize import upsample
from mmwsss.structures import Maps
from mmwsss.utils.checks import check_range

from .base import TestSettings, WSSSSegmentor


@dataclass(frozen=True)
class MapClassifierSettings(TestSettings):
    """Maps of several views, merged by a convention of :func:`mmwsss.ops.cam.merge_cams`.

    Attributes:
        background: Background score of the mask.
        power: The background score is ``(1 - max cam) ** power`` in its place.
    """

    maps_choices: ClassVar = ('plain',)
    merge_choices: ClassVar = CONVENTIONS
    seg_only: ClassVar = ('crf',)

    predict: str = 'cam'
    maps: str = 'plain'
    resize: str = 'pil_cubic'
    merge: str = 'psa'
    background: float = 0.2
    power: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range('test_cfg.background', self.background, 0, 1)
        check_range('test_cfg.power', self.power, 0, open_low=True)


class MapClassifier(WSSSSegmentor):
    """A multi-label classifier that is trained with image labels and tested for class maps.

    A method gives :meth:`class_logits`, :meth:`class_maps` of one view, and :meth:`loss`.
    ``predict='cam'`` merges the maps of the classes in the image labels over the views, ``'seg'``
    those of the classes that the classifier itself gives a probability above 0.5; ``seg_logits``
    then hold the scores of background and maps.
    """

    settings_type = MapClassifierSettings

    @abstractmethod
    def class_logits(self, features: Sequence[Tensor]) -> Tensor:
        """Features of the backbone -> logits of the classes ``(B, C_fg)``."""

    @abstractmethod
    def class_maps(self, batch: Tensor, image_labels: Tensor) -> Tensor:
        """Maps of all classes in one view.

        Args:
            batch: Normalised images ``(B, 3, h, w)``.
            image_labels: Multi-hot ``(B, C_fg)``, for methods whose maps depend on them.

        Returns:
            ``(B, C_fg, h', w')`` before relu.
        """

    def predict_maps(self, inputs: Tensor, image_labels: Tensor) -> Maps:
        """Merged maps; see ``test_cfg``. The mask is decided at the size of the image."""

        def maps_of(batch: Tensor) -> Tensor:
            repeated = image_labels.repeat(len(batch) // len(inputs), 1)
            return self.class_maps(batch, repeated)

        views = self.view_maps(maps_of, self.test_view(inputs))
        packed = [pack_present(view, image_labels) for view in views]
        cams = (maps for maps, _ in packed)
        cams = merge_cams(cams, inputs.shape[-2:], self.settings.merge, self.settings.flip)
        return Maps(cams.clamp(0, 1), packed[0][1])

    @property
    def gives_logits(self) -> bool:
        """See the base class; scores are maps."""
        return False

    def seg_scores(self, inputs: Tensor) -> Tensor:
        """Background and maps ``(B, 1 + C_fg, H, W)`` of the classes that are recognised."""
        present = self.class_logits(self.extract_feat(inputs)).sigmoid() > 0.5
        maps = self.predict_maps(inputs, present)
        known, size = maps.classes >= 0, inputs.shape[-2:]
        cams = maps.cams.new_zeros(len(inputs), self.num_foreground, *size)
        cams[known.nonzero()[:, 0], maps.classes[known]] = upsample(maps.cams[known], size)
        return self.refine_scores(inputs, self.add_background(cams), probabilities=True)

    def add_background(self, cams: Tensor) -> Tensor:
        """Prepend the background score that ``test_cfg`` names to ``(B, K, H, W)``."""
        if self.settings.power is not None:
            return add_background(cams, self.settings.power)
        return F.pad(cams, (0, 0, 0, 0, 1, 0), value=self.settings.background)

    def decide_label(self, cams: Tensor, classes: Tensor) -> Tensor:
        """Maps ``(B, K, H, W)`` of classes ``(B, K)`` -> mask ``(B, H, W)``."""
        return decide(self.add_background(cams), classes)
