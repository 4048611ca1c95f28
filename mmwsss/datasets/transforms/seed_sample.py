"""Random augmentation that does not depend on what was loaded before."""

from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from ...utils.seed import seed_everything


@TRANSFORMS.register_module()
class SeedSample(BaseTransform):
    """Seed the random generators for one sample; the first transform of a training pipeline.

    Needs the indices of :class:`~mmwsss.datasets.samplers.SeededInfiniteSampler` and leaves
    samples that were asked for by a plain index alone. ``train.py`` adds both to every config
    that samples with ``InfiniteSampler``.

    Required keys: ``sample_idx``. Modified keys: ``sample_idx`` (becomes a plain ``int``).
    """

    def transform(self, results: dict) -> dict:
        index = results['sample_idx']
        if hasattr(index, 'entropy'):
            seed_everything(*index.entropy)
            results['sample_idx'] = int(index)
        return results
