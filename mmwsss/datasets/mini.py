"""The embedded mini data set."""

from typing import Any, ClassVar

from mmwsss.registry import DATASETS
from mmwsss.utils.arguments import TEXT, checked

from .image_label import ImageLabelDataset, Split
from .mini_render import CLASSES, PALETTE, write_mini


@DATASETS.register_module()
@checked(data_root=TEXT, img_suffix=TEXT, seg_map_suffix=TEXT)
class MiniDataset(ImageLabelDataset):
    """Ten procedurally drawn classes, 400 train and 100 val images; see ``docs/mini.md``.

    Args:
        data_root: Folder of the data set; it is rendered there at first use.
        kwargs: Arguments of :class:`ImageLabelDataset`.
    """

    METAINFO = dict(classes=('background', *CLASSES), palette=[list(c) for c in PALETTE])
    SPLITS: ClassVar[dict[str, Split]] = {
        name: Split(f'ImageSets/Segmentation/{name}.txt', 'JPEGImages', 'SegmentationClass')
        for name in ('train', 'val')
    }

    def __init__(
        self,
        data_root: str = 'data/mini',
        img_suffix: str = '.png',
        seg_map_suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        write_mini(data_root)
        super().__init__(
            data_root=data_root, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs
        )
