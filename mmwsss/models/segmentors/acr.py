"""ACR: a classifier whose maps cover objects, since a reconstructor tries to see through them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmwsss.ops.losses.reconstruction import (
    classifier_losses,
    erase_grid,
    erase_segments,
    reconstructor_losses,
    target_segment,
)
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels
from mmwsss.utils.arguments import COUNT, WEIGHT, checked, number
from mmwsss.utils.checks import check_choice

from .map_classifier import MapClassifier, MapClassifierSettings

WEIGHTS = dict(
    recon_cls=1.0, recon_full=0.2, recon_target=0.3, recon_rest=0.5, cls=1.0, target=0.8, rest=0.3
)


@dataclass(frozen=True)
class ACRSettings(MapClassifierSettings):
    """As :class:`MapClassifierSettings`, merged as the official code does."""

    merge: str = 'acr'


def _check_weights(name: str, weights: object) -> None:
    if not isinstance(weights, Mapping):
        raise ValueError(f'{name} must be a dict, got {weights!r}')
    for loss, weight in weights.items():
        check_choice(f'a key of {name}', loss, WEIGHTS)
        WEIGHT(f'{name}.{loss}', weight)


@MODELS.register_module()
@checked(
    erase_cells=COUNT,
    erase_percent=number(0, 100, integer=True),
    erase_growth_iters=COUNT,
    loss_weights=_check_weights,
)
class ACR(MapClassifier):
    """Two classifiers that learn against each other, from image labels only.

    *Weakly Supervised Semantic Segmentation via Adversarial Learning of Classifier and
    Reconstructor*, Kweon et al., CVPR 2023. Official code: sangrockEG/ACR.

    The maps of the classifier split an image into the segment of one of its classes, the *target*,
    and the rest. The reconstructor learns to rebuild either from the features of the other. The
    classifier learns to prevent it: if the segment is the whole object and nothing else, neither
    part tells how the other looks. In a step the reconstructor comes first; the classifier then
    meets the better one.

    The children are ``classifier`` and ``reconstructor``, each with its own optimizer
    (:class:`mmwsss.engine.optimizers.SeparateOptimWrapperConstructor`) and, in several processes,
    its own DistributedDataParallel (mmengine's ``MMSeparateDistributedDataParallel``). Maps are
    those of the classifier alone.

    Target classes and erased cells are drawn from PyTorch's generator, which ``SeedIterHook``
    seeds in every iteration, so that a resumed training draws what the interrupted one would have.

    Args:
        backbone, decode_head: Of both networks; see
            :class:`mmwsss.models.layers.ClassMapNetwork`.
        reconstructor: :class:`mmwsss.models.layers.Reconstructor` without these.
        loss_weights: Factors of the losses, in place of those in :data:`WEIGHTS` (the official
            ones). ``recon_*`` are the reconstructor's.
        erase_cells: Cells of the grid that hides parts of the segments, per side.
        erase_percent: Cells that are hidden at first, in percent.
        erase_growth_iters: After so many iterations it is one percent more: an epoch in the
            official code.
        kwargs: Arguments of :class:`WSSSSegmentor`; ``test_cfg``: :class:`ACRSettings`.

    Raises:
        ValueError: An argument is out of range, or ``loss_weights`` names an unknown loss; see
            also :class:`WSSSSegmentor`.
    """

    settings_type = ACRSettings

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        reconstructor: dict,
        loss_weights: Mapping[str, float] | None = None,
        erase_cells: int = 16,
        erase_percent: int = 20,
        erase_growth_iters: int = 1322,
        **kwargs,
    ) -> None:
        shared = dict(backbone=backbone, decode_head=decode_head)
        parts = dict(
            classifier=dict(type='mmwsss.ClassMapNetwork', **shared),
            reconstructor={**reconstructor, **shared},
        )
        super().__init__(parts, **kwargs)
        self.loss_weights = {**WEIGHTS, **(loss_weights or {})}
        self.erase_cells = erase_cells
        self.erase_percent = erase_percent
        self.erase_growth_iters = erase_growth_iters

    @property
    def num_foreground(self) -> int:
        """Classes without background."""
        return unwrapped(self.classifier).decode_head.num_classes

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> class maps before relu ``(B, C_fg, h, w)``."""
        return self.classifier(inputs)

    def class_logits(self, features: Tensor) -> Tensor:
        """Class maps -> logits of the classes ``(B, C_fg)``, their means."""
        return features.float().mean((2, 3))

    def class_maps(self, batch: Tensor, image_labels: Tensor) -> Tensor:
        """Images ``(B, 3, h, w)`` -> maps of all classes ``(B, C_fg, h', w')`` before relu."""
        return self.classifier(batch)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> activation maps ``(B, C_fg, h, w)``."""
        return self.classifier(inputs).relu()

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of both networks with the present weights.

        :meth:`train_step` moves the reconstructor between its losses and those of the classifier.
        """
        labels = stack_image_labels(data_samples, self.num_foreground)
        drawn = self.draw(labels)
        losses = self.reconstructor_losses(inputs, labels, *drawn)
        return {**losses, **self.classifier_losses(inputs, labels, drawn[0])}

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """Update the reconstructor, then the classifier against it.

        Args:
            data: A batch of the data loader.
            optim_wrapper: Of :class:`SeparateOptimWrapperConstructor`.

        Returns:
            The losses, for the log; ``loss`` is the sum of all.

        Raises:
            TypeError: There is one optimizer only.
        """
        if not isinstance(optim_wrapper, OptimWrapperDict):
            raise TypeError(
                'ACR trains two networks in turn, each with its own optimizer: set '
                "optim_wrapper.constructor='mmwsss.SeparateOptimWrapperConstructor'"
            )
        data = self.data_preprocessor(data, True)
        inputs = data['inputs']
        labels = stack_image_labels(data['data_samples'], self.num_foreground)
        targets, draws = self.draw(labels)
        with optim_wrapper['reconstructor'].optim_context(self):
            losses = self.reconstructor_losses(inputs, labels, targets, draws)
        logged = self._update(losses, optim_wrapper['reconstructor'])
        with optim_wrapper['classifier'].optim_context(self):
            losses = self.classifier_losses(inputs, labels, targets)
        total = logged.pop('loss')
        logged.update(self._update(losses, optim_wrapper['classifier']))
        return {**logged, 'loss': logged['loss'] + total}

    def _update(self, losses: dict[str, Tensor], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """A step of one network."""
        total, logged = self.parse_losses(losses)
        optim_wrapper.update_params(total)
        return logged

    @property
    def erased_share(self) -> int:
        """Cells that are hidden in this iteration, in percent."""
        return self.erase_percent + self.iteration // self.erase_growth_iters

    def draw(self, image_labels: Tensor) -> tuple[Tensor, Tensor]:
        """What is left to chance in a step.

        Args:
            image_labels: Multi-hot ``(B, C_fg)``.

        Returns:
            Target classes ``(B,)``, one of each image, -1 for images without any; and whole
            numbers of 0 to 99 for the cells of the grid ``(B, 1, g, g)``.
        """
        absent = image_labels == 0
        chances = torch.rand(absent.shape, device=absent.device).masked_fill(absent, -1)
        targets = chances.argmax(dim=1).masked_fill(absent.all(dim=1), -1)
        grid = (len(absent), 1, self.erase_cells, self.erase_cells)
        return targets, torch.randint(100, grid, device=absent.device)

    def reconstructor_losses(
        self, inputs: Tensor, image_labels: Tensor, targets: Tensor, draws: Tensor
    ) -> dict[str, Tensor]:
        """Classify, and rebuild the image: whole, the hidden segment, and the hidden rest.

        Args:
            inputs: Normalised images ``(B, 3, H, W)``.
            image_labels: Multi-hot ``(B, C_fg)``.
            targets, draws: See :meth:`draw`.
        """
        size = inputs.shape[-2:]
        with evaluating(self.classifier), torch.no_grad():
            segment = target_segment(self.classifier(inputs), targets, size)
            grid = erase_grid(draws, self.erased_share, size)
            erased = erase_segments(segment, grid, targets)
        built = self.reconstructor(inputs, 1 - erased.target, 1 - erased.rest)
        logits = self.class_logits(built.maps)
        return self._weigh(reconstructor_losses(logits, image_labels, inputs, *built[1:], erased))

    def classifier_losses(
        self, inputs: Tensor, image_labels: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """Classify, and keep the segment and the rest from being rebuilt from each other.

        Args:
            inputs: Normalised images ``(B, 3, H, W)``.
            image_labels: Multi-hot ``(B, C_fg)``.
            targets: See :meth:`draw`.
        """
        size, reconstructor = inputs.shape[-2:], unwrapped(self.reconstructor)
        maps = self.classifier(inputs)
        segment = target_segment(maps, targets, size)
        with evaluating(reconstructor):
            with torch.no_grad():
                features = upsample(reconstructor.encode(inputs)[1], size)
            target, rest = (reconstructor.paint(features * s) for s in (segment, 1 - segment))
        logits = self.class_logits(maps)
        return self._weigh(
            classifier_losses(logits, image_labels, inputs, target, rest, segment, maps, targets)
        )

    def _weigh(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {f'loss_{name}': self.loss_weights[name] * loss for name, loss in losses.items()}


def unwrapped(network: nn.Module) -> nn.Module:
    """A child without its DistributedDataParallel."""
    return network.module if is_model_wrapper(network) else network


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, afterwards that of before."""
    before = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(before)
