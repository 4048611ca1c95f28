"""Endless sampling that tells each sample its place in the stream."""

from collections.abc import Iterator

from mmengine.dataset import InfiniteSampler

from ..registry import DATA_SAMPLERS


class SeededIndex(int):
    """A data set index that carries the entropy for its sample's random augmentation."""

    entropy: tuple[int, ...]


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """``InfiniteSampler`` whose indices carry ``(seed, place in the stream)``.

    With :class:`~mmwsss.datasets.transforms.SeedSample` in the pipeline a sample is augmented
    alike in an uninterrupted and in a resumed run, whichever worker or process loads it. Takes
    the arguments of ``InfiniteSampler`` and yields the same indices.
    """

    def _indices_of_rank(self) -> Iterator[int]:
        place = self.rank
        for index in super()._indices_of_rank():
            seeded = SeededIndex(index)
            seeded.entropy = (self.seed, place)
            yield seeded
            place += self.world_size
