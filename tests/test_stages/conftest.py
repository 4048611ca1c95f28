"""Small stand-ins for the tools, and configs that run with them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmwsss.utils.io import write_mask

TOOLS = {
    # 6 iterations, a checkpoint after each; resumes, and writes down what it did
    'train.py': """
        config, work_dir = sys.argv[1], Path(sys.argv[sys.argv.index('--work-dir') + 1])
        work_dir.mkdir(parents=True, exist_ok=True)
        (work_dir / 'threads').write_text(os.environ.get('OMP_NUM_THREADS', ''))
        last = work_dir / 'last_checkpoint'
        start = int(last.read_text().split('_')[-1][:-4]) if last.exists() else 0
        for i in range(start, 6):
            time.sleep(float(os.environ.get('PAUSE', 0)))
            with open(work_dir / 'log', 'a') as log:
                log.write(f'{i} ')
            (work_dir / 'part').write_text(str(work_dir / f'iter_{i + 1}.pth'))
            (work_dir / 'part').replace(last)  # whole, whenever the process is killed
            (work_dir / f'iter_{i + 1}.pth').write_text(str(i + 1))
    """,
    'test.py': """
        cfg = runpy.run_path(sys.argv[1])
        if '--metrics' in sys.argv:
            score = 50.0 + 10 * (cfg['model']['type'] == 'mmwsss.DenseCRFModel')
            Path(sys.argv[sys.argv.index('--metrics') + 1]).write_text(json.dumps(
                {'mIoU': score, 'IoU/background': 90.0, 'weights': Path(sys.argv[2]).read_text()}))
        else:
            out = Path(cfg['test_evaluator'][0]['output_dir'])
            out.mkdir(parents=True, exist_ok=True)
            left = Path(cfg['test_dataloader']['dataset']['ids']).read_text().splitlines()
            if not left:
                raise SystemExit('mmengine cannot test on nothing')
            for name in left:
                time.sleep(float(os.environ.get('PAUSE', 0)))
                with open(out / 'log', 'a') as log:
                    log.write(f'{name}.png ')
                if name != os.environ.get('LOSE'):
                    (out / f'{name}.png').write_bytes(Path('mask.png').read_bytes())
    """,
}
CONFIG = """
model = dict(type='EncoderDecoder')
train_cfg = dict(max_iters=6)
train_dataloader = dict(dataset=dict(
    type='mmwsss.ImageLabelDataset', metainfo=dict(classes=('background', 'cat')),
    data_root='data', data_prefix=dict(img_path='images'), ann_file='ids.txt', pipeline=[]))
test_dataloader = train_dataloader
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/one/masks'),
    dict(type='mmwsss.WSSSIoUMetric'),
]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the stand-ins, two configs, three images and their masks."""
    monkeypatch.chdir(tmp_path)
    head = 'import json, os, runpy, sys, time\nfrom pathlib import Path\n'
    for name, text in TOOLS.items():
        lines = [line[8:] for line in text.strip('\n').splitlines()]
        (tmp_path / name).write_text(head + '\n'.join(lines) + '\n')
    for name in ('one', 'two'):
        (tmp_path / f'{name}.py').write_text(CONFIG)
    mask = np.zeros((4, 5), np.uint8)
    mask[1:, 2:] = 1
    write_mask('mask.png', mask)
    Path('data/images').mkdir(parents=True)
    for name in 'abc':
        write_mask(f'truth/{name}.png', mask)
        Image.new('RGB', (5, 4)).save(f'data/images/{name}.jpg')
    Path('data/ids.txt').write_text('a\nb\nc\n')
    Path('classes.txt').write_text('cat\n')
    return tmp_path
