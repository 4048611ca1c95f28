"""What methods that learn masks from image labels in a single training run share."""

from collections.abc import Mapping, Sequence

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.ops.pixels import truncated_pixels

from .base import WSSSSegmentor


class SingleStageWSSS(WSSSSegmentor):
    """A network that makes, in every iteration, the labels that its segmentation learns from.

    A method gives :meth:`loss` and :meth:`predict_maps`. What changes during the training follows
    from the iteration: :meth:`phase` for steps of the method, ``loss_schedule`` for weights.

    Args:
        parts: See :class:`WSSSSegmentor`.
        loss_schedule: ``{loss: [(start, weight), ...]}``: from iteration ``start`` (from 0) on a
            loss has this weight, and 0 before the first start. A loss that is not named has
            weight 1. While a weight is 0 the loss stays in the graph, so that its parameters get
            zero gradients, and AdamW's decay and step count, as in the official codes. The names
            are those in ``loss_names`` of the method.
        kwargs: Arguments of :class:`WSSSSegmentor`.

    Raises:
        ValueError: ``loss_schedule`` names a loss that there is not, or see
            :class:`WSSSSegmentor`.
    """

    loss_names: tuple[str, ...] = ()

    def __init__(
        self,
        parts: Mapping[str, dict],
        loss_schedule: Mapping[str, Sequence[tuple[int, float]]] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(parts, **kwargs)
        self.loss_schedule = dict(loss_schedule or {})
        if unknown := sorted(set(self.loss_schedule) - set(self.loss_names)):
            raise ValueError(
                f'loss_schedule has {", ".join(unknown)}, but the losses are {self.loss_names}'
            )

    def phase(self, start: int) -> bool:
        """Whether the phase that begins at iteration ``start`` (from 0) has begun."""
        return self.iteration >= start

    def loss_weight(self, name: str) -> float:
        """Weight of a loss in this iteration; see ``loss_schedule``."""
        steps = self.loss_schedule.get(name, ((0, 1.0),))
        return next((w for start, w in sorted(steps, reverse=True) if self.phase(start)), 0.0)

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

    def pixels(self, inputs: Tensor, truncated: bool = True) -> Tensor:
        """The colours behind normalised images ``(B, 3, H, W)``, in 0..255.

        Args:
            inputs: Normalised images.
            truncated: Cut to integers, as most official codes do
                (:func:`mmwsss.ops.pixels.truncated_pixels`).
        """
        mean, std = self.data_preprocessor.mean, self.data_preprocessor.std
        return truncated_pixels(inputs, mean, std) if truncated else inputs * std + mean


def label_samples(label: Tensor) -> list[SegDataSample]:
    """Label maps ``(B, H, W)`` as the samples that mmseg's heads take their truth from."""
    return [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in label[:, None]]
