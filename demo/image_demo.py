"""Segment one image and draw the result: ``python demo/image_demo.py IMAGE``.

With ``--classes`` the cams and the pseudo mask of these image labels are drawn too::

    python demo/image_demo.py photo.jpg --config configs/wsss/weclip_voc.py \
        --checkpoint weclip_voc.pth --classes dog person --out photo_panel.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmseg.structures import SegDataSample
    from torch import nn

DEFAULT_CONFIG = Path(__file__).parents[1] / 'configs/wsss/weclip_mini.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Segment one image and draw the result')
    parser.add_argument('image', help='image file')
    parser.add_argument('--config', default=str(DEFAULT_CONFIG), help='config file')
    parser.add_argument('--checkpoint', help='default: the newest one in the work dir')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='CLASS',
        help='image labels: draw their cams and pseudo mask',
    )
    parser.add_argument('--out', '--out-file', default='result.png', help='picture to write')
    parser.add_argument('--device', help='default: an accelerator if there is one, else cpu')
    return parser.parse_args()


def segment(
    model: nn.Module, cfg: Config, image: Path, classes: list[str] | None, meta: dict
) -> SegDataSample:
    """Run the test pipeline and the model on one image.

    Raises:
        ValueError: Unknown class name, or a model that has no cams.
    """
    import torch
    from mmengine.dataset import Compose

    from mmwsss.stores.label_file import encode_image_labels

    results = dict(img_path=str(image))
    foreground = meta['classes'][1:]
    if classes is not None:
        results['image_labels'] = encode_image_labels(classes, foreground)
        results['num_foreground'] = len(foreground)
    names = ('LoadAnnotations', 'mmwsss.LoadAnnotations')
    pipeline = Compose([step for step in cfg.test_pipeline if step['type'] not in names])
    data = pipeline(results)
    with torch.no_grad():
        sample = model.test_step({key: [value] for key, value in data.items()})[0]
    if classes is not None and 'pred_cam' not in sample:
        raise ValueError(
            f'{type(model).__name__} made no cams: leave --classes out, or see that test_pipeline '
            'has dict(type="mmwsss.LoadImageLabels", optional=True)'
        )
    return sample


def find_checkpoint(given: str | None, work_dir: str) -> Path:
    if given is not None:
        if not Path(given).is_file():
            raise FileNotFoundError(f'checkpoint {given} does not exist')
        return Path(given)
    record = Path(work_dir) / 'last_checkpoint'
    if not record.is_file():
        raise FileNotFoundError(
            f'no checkpoint in {work_dir}: train the config first, or pass --checkpoint'
        )
    return Path(work_dir) / Path(record.read_text().strip()).name


def run(args: argparse.Namespace) -> None:
    import numpy as np
    from mmengine.device import get_device
    from PIL import Image

    from mmwsss.apis import load_config
    from mmwsss.apis.trained_network import load_network
    from mmwsss.engine.hooks.panel_visualization import draw_sample
    from mmwsss.utils.checks import check_apart, check_choice, check_device
    from mmwsss.utils.images import read_rgb
    from mmwsss.utils.io import atomic_write

    image, out = Path(args.image), Path(args.out)
    read_rgb(image)
    check_choice('suffix of --out', out.suffix.lower(), ('.png', '.jpg', '.jpeg', '.bmp', '.webp'))
    check_device(args.device)
    cfg = load_config(args.config)
    checkpoint = find_checkpoint(args.checkpoint, cfg.work_dir)
    check_apart({'--out': out}, {'the image': image, 'the checkpoint': checkpoint})
    if args.classes is not None:
        cfg.merge_from_dict({'model.test_cfg.with_cam': True})
    model, meta = load_network(cfg, checkpoint, args.device or get_device())
    sample = segment(model, cfg, image, args.classes, meta)
    with atomic_write(out) as tmp:
        Image.fromarray(np.ascontiguousarray(draw_sample(sample, meta))).save(tmp)
    present = sample.pred_sem_seg.data.unique().tolist()
    print(f'{out}: {", ".join(meta["classes"][i] for i in present)}')


def main() -> None:
    args = parse_args()
    try:
        run(args)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
    main()
