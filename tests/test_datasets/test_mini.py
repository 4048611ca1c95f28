"""The embedded mini data set and the mini CLIP."""

import importlib.util
import json
import threading
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from open_clip import get_tokenizer
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from PIL import Image
from safetensors import safe_open

import mmwsss
from mmwsss.datasets import mini_render
from mmwsss.datasets.mini import MiniDataset
from mmwsss.datasets.mini_render import (
    CLASSES,
    CONTEXT,
    GROUNDS,
    PALETTE,
    SPLITS,
    mini_id,
    render_mini,
    render_scene,
    write_mini,
)
from mmwsss.datasets.mini_shapes import SHAPES

REPOSITORY = Path(__file__).parents[2]
CLIP_FILE = Path(mmwsss.__file__).parent / 'assets' / 'mini_clip.safetensors'
SMALL = {'train': 6, 'val': 4}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A set of ten images: layout and races do not depend on the number."""
    monkeypatch.setattr(mini_render, 'SPLITS', SMALL)
    return SMALL


@pytest.fixture(scope='module')
def scenes() -> dict[str, list]:
    """Mask and scene of every image of the set."""
    return {
        split: [render_mini(split, index)[1:] for index in range(count)]
        for split, count in SPLITS.items()
    }


# ---------------------------------------------------------------------------------------------
# renderer


def test_same_seed_gives_the_same_pixels_and_another_seed_others():
    first, second = render_mini('train', 3), render_mini('train', 3)
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert first[2] == second[2]
    same_size = [render_scene(np.random.default_rng(seed), (100, 120))[0] for seed in (1, 2)]
    assert not np.array_equal(*same_size)


def test_splits_share_no_image():
    images = {render_mini(split, i)[0].tobytes() for split in SPLITS for i in range(20)}
    assert len(images) == 40


def test_every_class_has_parts_of_several_colours():
    assert len(CLASSES) >= 8 and set(SHAPES) == set(CLASSES)
    for name, draw in SHAPES.items():
        colours = {colour for _, colour in draw(np.random.default_rng(0))}
        assert len(colours) >= 4, name


@pytest.mark.parametrize('name', CLASSES)
def test_asked_object_and_ground_are_drawn_with_exact_mask(name: str):
    rng = np.random.default_rng(5)
    image, mask, scene = render_scene(rng, (96, 128), [name], 'road', (60.0, 60.0))
    assert image.shape == (96, 128, 3) and image.dtype == np.uint8
    assert scene.objects == (name,) and 'road' in scene.grounds
    assert set(np.unique(mask)) == {0, CLASSES.index(name) + 1}
    rows, cols = np.nonzero(mask)
    longest = max(np.ptp(rows), np.ptp(cols)) + 1
    assert 0.6 * 60 < longest < 1.15 * 60


def test_ground_alone_has_an_empty_mask():
    for ground in GROUNDS:
        _, mask, scene = render_scene(np.random.default_rng(0), (64, 64), [], ground)
        assert not mask.any() and scene.objects == () and ground in scene.grounds


def test_classes_meet_their_context_in_about_80_percent_of_their_images(scenes):
    shows = {name: [] for name in CLASSES}
    for _, scene in scenes['train'] + scenes['val']:
        for name in scene.objects:
            shows[name].append(CONTEXT[name] in scene.grounds)
    assert 0.77 < np.mean(np.concatenate(list(shows.values()))) < 0.85
    for name, seen in shows.items():
        assert len(seen) >= 40 and 0.65 < np.mean(seen) < 0.95, name


def test_images_are_small_not_all_square_and_objects_vary_in_scale(scenes):
    sizes = {mask.shape for mask, _ in scenes['val']}
    assert all(96 <= side <= 128 for size in sizes for side in size)
    assert len(sizes) > 20
    single = [m for m, s in scenes['train'] if len(s.objects) == 1]
    parts = [cv2.connectedComponentsWithStats((m > 0).astype(np.uint8)) for m in single]
    sides = [stats[1:, 2:4].max() for count, _, stats, _ in parts if count == 2]
    small, large = np.percentile(sides, (5, 95))
    assert 2.0 < large / small < 3.5


def test_labels_are_exactly_the_classes_of_the_mask(scenes):
    for mask, scene in scenes['train'] + scenes['val']:
        values = [int(v) for v in np.unique(mask) if v]
        assert sorted(CLASSES[v - 1] for v in values) == list(scene.objects)
        assert 1 <= len(values) <= 3


# ---------------------------------------------------------------------------------------------
# files


def test_files_have_the_voc_layout_and_hold_what_was_rendered(small, tmp_path: Path):
    root = write_mini(tmp_path / 'mini')
    labels = json.loads((root / 'image_labels.json').read_text())
    listed = []
    for split, count in small.items():
        ids = (root / f'ImageSets/Segmentation/{split}.txt').read_text().split()
        assert ids == [mini_id(split, index) for index in range(count)]
        for index, name in enumerate(ids):
            image, mask, scene = render_mini(split, index)
            assert np.array_equal(np.array(Image.open(root / f'JPEGImages/{name}.png')), image)
            stored = Image.open(root / f'SegmentationClass/{name}.png')
            assert stored.mode == 'P' and np.array_equal(np.array(stored), mask)
            assert tuple(stored.getpalette()[3:6]) == PALETTE[1]
            assert labels[name] == list(scene.objects)
        listed += ids
    assert sorted(labels) == sorted(listed)


def test_a_second_call_changes_nothing(small, tmp_path: Path):
    root = write_mini(tmp_path / 'mini')
    before = {p: p.stat().st_mtime_ns for p in root.rglob('*')}
    write_mini(root)
    assert {p: p.stat().st_mtime_ns for p in root.rglob('*')} == before


def test_concurrent_calls_leave_one_whole_set_and_no_rubbish(small, tmp_path: Path):
    barrier, errors = threading.Barrier(4), []

    def call() -> None:
        barrier.wait()
        try:
            write_mini(tmp_path / 'mini')
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [p.name for p in tmp_path.iterdir()] == ['mini']
    assert len(list((tmp_path / 'mini/JPEGImages').iterdir())) == sum(small.values())


def test_a_failed_call_leaves_nothing(small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object) -> None:
        raise RuntimeError('disk full')

    monkeypatch.setattr(mini_render, 'write_mask', fail)
    with pytest.raises(RuntimeError, match='disk full'):
        write_mini(tmp_path / 'mini')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('version', [None, '0'])
def test_foreign_or_older_folder_is_refused_with_the_remedy(tmp_path: Path, version: str | None):
    (tmp_path / 'mini').mkdir()
    if version is not None:
        (tmp_path / 'mini/version.txt').write_text(version)
    with pytest.raises(ValueError, match=r'mini.*Delete the folder'):
        write_mini(tmp_path / 'mini')


def test_parent_that_is_a_file_is_named(tmp_path: Path):
    (tmp_path / 'data').write_text('')
    with pytest.raises(OSError, match='Cannot render the mini data set'):
        write_mini(tmp_path / 'data' / 'mini')


def test_config_datasets_render_themselves_and_train_without_masks(small, tmp_path: Path):
    mmwsss.register_all_modules()
    cfg = Config.fromfile(REPOSITORY / 'configs/_base_/datasets/mini.py')
    sets = {}
    for split, loader in (('train', cfg.train_dataloader), ('val', cfg.val_dataloader)):
        kwargs = {**loader.dataset, 'data_root': str(tmp_path / 'mini')}
        assert kwargs.pop('type') == 'mmwsss.MiniDataset'
        sets[split] = MiniDataset(**kwargs)
        assert len(sets[split]) == small[split]
    assert sets['train'].metainfo['classes'] == ('background', *CLASSES)
    info = sets['train'].get_data_info(2)
    expected = [CLASSES.index(n) for n in render_mini('train', 2)[2].objects]
    assert info['image_labels'].tolist() == sorted(expected)
    assert 'LoadAnnotations' not in [t['type'] for t in cfg.train_pipeline]
    assert isinstance(sets['train'].pipeline, Compose)
    sample = sets['train'][2]
    assert sample['inputs'].shape == (3, 112, 112)
    assert not hasattr(sample['data_samples'], 'gt_sem_seg')
    hot = sample['data_samples'].gt_image_labels.label
    assert hot.nonzero().flatten().tolist() == sorted(expected)
    truth = sets['val'][1]['data_samples'].gt_sem_seg.data[0].numpy()
    assert np.array_equal(truth, render_mini('val', 1)[1])


# ---------------------------------------------------------------------------------------------
# mini CLIP


@pytest.fixture(scope='module')
def clip() -> CLIP:
    """The shipped weights in open_clip's own class, loaded strictly."""
    vision = CLIPVisionCfg(layers=6, width=128, head_width=64, patch_size=8, image_size=112)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=32, heads=1, layers=2)
    model = CLIP(128, vision, text, quick_gelu=True)
    with safe_open(CLIP_FILE, framework='pt') as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert all(value.dtype == torch.float16 for value in state.values())
    model.load_state_dict({k: v.float() for k, v in state.items()}, strict=True)
    return model.eval()


def test_clip_file_is_small_and_tells_how_it_was_made():
    assert CLIP_FILE.stat().st_size <= 8_000_000
    with safe_open(CLIP_FILE, framework='pt') as file:
        meta = file.metadata()
    assert meta['model'] == 'mini-clip' and meta['quick_gelu'] == 'true'
    figures = json.loads(meta['training'])
    assert {'seed', 'step', 'recall_mean_patch', 'seed_miou', 'refined_miou'} <= set(figures)


@torch.no_grad()
def test_clip_recognises_classes_and_grounds_of_fresh_images(clip: CLIP):
    """The class token, through open_clip's own forward; chance is 0.1 and 0.14."""
    tokenizer = get_tokenizer('ViT-B-16')
    texts = clip.encode_text(
        tokenizer([f'a clean origami {n}.' for n in (*CLASSES, *GROUNDS)]), normalize=True
    )
    rng = np.random.default_rng((31, 41))
    grounds = [GROUNDS[i % len(GROUNDS)] for i in range(70)]
    names = [CLASSES[i % len(CLASSES)] for i in range(70)]
    images = [
        render_scene(rng, (112, 112), [n], g, (40.0, 70.0))[0]
        for n, g in zip(names, grounds, strict=True)
    ]
    image = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    scores = clip.encode_image((image - mean) / std, normalize=True) @ texts.T
    found = [CLASSES[i] for i in scores[:, : len(CLASSES)].argmax(1)]
    on = [GROUNDS[i] for i in scores[:, len(CLASSES) :].argmax(1)]
    assert np.mean([a == b for a, b in zip(found, names, strict=True)]) > 0.8
    assert np.mean([a == b for a, b in zip(on, grounds, strict=True)]) > 0.8


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The pre-training script as a module."""
    monkeypatch.syspath_prepend(REPOSITORY / 'tools')
    path = REPOSITORY / 'tools' / 'pretrain_mini_clip.py'
    spec = importlib.util.spec_from_file_location('pretrain_mini_clip', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_shipped_weights_localise_what_they_recognise(clip: CLIP, tool: ModuleType):
    """Grad-CAM seeds on fresh images; an all-background seed has about 8 mIoU."""
    figures = tool.evaluate(clip, tool.TextEncoder(clip), 30, seed=5)
    assert figures['recall_mean_patch'] > 0.8
    assert figures['seed_miou'] > 45


def test_training_images_are_a_function_of_seed_and_step(tool: ModuleType):
    first, again = (tool.FreshBatches(10, 8, 4)[3] for _ in range(2))
    assert torch.equal(first['images'], again['images']) and first['texts'] == again['texts']
    other = tool.FreshBatches(10, 8, 4)[4]
    assert first['images'].numpy().tobytes() != other['images'].numpy().tobytes()
    captions = first['texts'][len(tool.NAMES) :]
    image, tile = first['tile_of_caption']
    assert set(image.tolist()) == set(range(4))
    for row, index in zip(first['shown'][image, tile], first['caption_index'], strict=True):
        words = captions[index].rstrip('.').split()
        named = {n for n in tool.NAMES if n in words}
        assert named == {n for n, shown in zip(tool.NAMES, row, strict=True) if shown}
    assert first['tiles'].max() > 0  # there are mosaics
    assert (first['shown'].sum(2) > 0).sum() == len(first['caption_index'])


def test_interrupted_pretraining_resumes_to_the_same_weights(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    figures = dict(seed_miou=1.0, refined_miou=1.0, recall_mean_patch=1.0)
    evaluations = []

    def evaluate(*args: object) -> dict:
        evaluations.append(args)
        if len(evaluations) == 4:
            raise KeyboardInterrupt
        return figures

    monkeypatch.setattr(tool, 'evaluate', evaluate)
    options = dict(steps=4, batch=4, lr=1e-3, fine_from=1.0, eval_every=2, eval_images=2)

    def run(name: str) -> dict:
        out = tmp_path / f'{name}.safetensors'
        tool.train(Namespace(work_dir=tmp_path / name, out=out, **options))
        return torch.load(tmp_path / name / 'last.pth', weights_only=True)

    whole = run('whole')
    with pytest.raises(KeyboardInterrupt):
        run('resumed')
    resumed = run('resumed')
    assert len(evaluations) == 5 and whole['step'] == resumed['step'] == 4
    for key, value in whole['model'].items():
        assert torch.equal(value, resumed['model'][key]), key
