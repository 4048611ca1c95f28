"""Normalisation of batches whose images differ in size."""

import torch
from mmseg.models.data_preprocessor import SegDataPreProcessor

from mmwsss.registry import MODELS


@MODELS.register_module()
class AnySizePreProcessor(SegDataPreProcessor):
    """mmseg's preprocessor for models that group the images of a batch by size themselves.

    Nothing is padded. ``inputs`` are ``(B, 3, H, W)`` if all images have one size, else a list
    of ``(3, H, W)``. There is no training mode.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Convert channels and normalise.

        Raises:
            RuntimeError: In training.
        """
        if training:
            raise RuntimeError('AnySizePreProcessor is for models that are not trained')
        inputs, samples = [], []
        # one by one: mmseg's own forward stacks, so it wants one size
        for i, image in enumerate(data['inputs']):
            one = dict(inputs=[image])
            if data.get('data_samples') is not None:
                one['data_samples'] = [data['data_samples'][i]]
            one = super().forward(one)
            inputs.append(one['inputs'][0])
            samples.extend(one['data_samples'] or [])
        if len({image.shape for image in inputs}) == 1:
            inputs = torch.stack(inputs)
        return dict(inputs=inputs, data_samples=samples or None)
