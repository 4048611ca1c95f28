"""Normalisation of batches whose images differ in size."""

from collections.abc import Callable

import torch
from mmseg.models.data_preprocessor import SegDataPreProcessor

from mmwsss.registry import MODELS


def prepare_each(preprocess: Callable[[dict], dict], data: dict) -> dict:
    """Prepare the images of a batch one by one: mmseg's preprocessor stacks, so it wants one size.

    Args:
        preprocess: Data of one image -> ``inputs`` ``(1, 3, H, W)`` and ``data_samples``.
        data: ``inputs``, B images, and ``data_samples``, B of them or None.

    Returns:
        The same with ``inputs`` ``(B, 3, H, W)`` if all images have one size, else a list of
        ``(3, H, W)``.
    """
    inputs, samples = [], []
    for i, image in enumerate(data['inputs']):
        one = dict(inputs=[image])
        if data.get('data_samples') is not None:
            one['data_samples'] = [data['data_samples'][i]]
        one = preprocess(one)
        inputs.append(one['inputs'][0])
        samples.extend(one['data_samples'] or [])
    if len({image.shape for image in inputs}) == 1:
        inputs = torch.stack(inputs)
    return dict(inputs=inputs, data_samples=samples or None)


@MODELS.register_module()
class AnySizePreProcessor(SegDataPreProcessor):
    """mmseg's preprocessor for models that group the images of a batch by size themselves.

    Nothing is padded; see :func:`prepare_each`. There is no training mode.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Convert channels and normalise.

        Raises:
            RuntimeError: In training.
        """
        if training:
            raise RuntimeError('AnySizePreProcessor is for models that are not trained')
        return prepare_each(super().forward, data)


@MODELS.register_module()
class ZeroCanvasPreProcessor(SegDataPreProcessor):
    """mmseg's preprocessor, behind which the canvas around an image is zero, the mean colour.

    The canvas is what :class:`mmwsss.datasets.transforms.RandomPadCrop` adds (``img_box`` of the
    samples). The published classifiers see it as zero because ``pad_val`` in their pipelines is
    the mean of their normalisation; with this one ``pad_val`` does not matter, and any ``mean`` can
    be used with the pipelines as they are.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Convert channels, normalise, clear the canvas, and stack."""
        data = super().forward(data, training)
        for image, sample in zip(data['inputs'], data['data_samples'] or (), strict=False):
            if 'img_box' in sample.metainfo:
                y0, y1, x0, x1 = sample.img_box
                for outside in (image[:, :y0], image[:, y1:], image[..., :x0], image[..., x1:]):
                    outside.zero_()
        return data
