"""Every shipped config."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mmwsss.datasets import mini
from mmwsss.models import FrozenCLIP, WeCLIPPlus
from mmwsss.registry import DATASETS, MODELS, PARAM_SCHEDULERS, TRANSFORMS
from mmwsss.stages import Pipeline
from mmwsss.stages.stage import ConfigStage
from mmwsss.testing import labelled_samples

ROOT = Path(__file__).parents[1] / 'configs'
PIPELINES = sorted((ROOT / 'pipelines').glob('*.py'))
LISTS = (ROOT / '_base_', ROOT / 'benchmarks', ROOT / 'pipelines')
CONFIGS = sorted(p for p in ROOT.rglob('*.py') if not any(map(p.is_relative_to, LISTS)))
WSSS = [p for p in CONFIGS if p.parent.name == 'wsss']
# configs that train on masks by intent: upper bounds and retraining
SUPERVISED = {p.stem for p in CONFIGS if p.parent.name == 'segmentation'}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def types_in(value) -> list[str]:
    """All ``type`` values in a nested config but those of initialisers."""
    if isinstance(value, dict):
        own = [value['type']] if isinstance(value.get('type'), str) else []
        return own + [t for k, v in value.items() if k != 'init_cfg' for t in types_in(v)]
    if isinstance(value, list | tuple):
        return [t for v in value for t in types_in(v)]
    return []


def test_names_are_unique_and_configs_were_found():
    names = [p.name for p in ROOT.rglob('*.py') if p.parent.name != 'benchmarks']
    assert len(names) == len(set(names))
    assert {p.stem for p in WSSS} >= {'weclip_voc', 'weclip_coco', 'weclip_mini', 'gradcam_mini'}
    assert set(WSSS) | {ROOT / f'segmentation/{s}.py' for s in SUPERVISED} == set(CONFIGS)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_types_resolve(path):
    cfg = Config.fromfile(path)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(loader) is None:  # methods without training
            continue
        dataset = cfg[loader].dataset
        assert DATASETS.get(dataset.type) is not None
        for transform in dataset.pipeline:
            assert TRANSFORMS.get(transform.type) is not None
            # Our readers, under the names that MMSegmentation's inferencers look for.
            if 'LoadImageFromFile' in transform.type or 'LoadAnnotations' in transform.type:
                assert transform.type in ('LoadImageFromFile', 'LoadAnnotations')
                assert transform.get('_scope_') == 'mmwsss'
    assert all(MODELS.get(t) is not None for t in types_in(cfg.model))
    assert all(PARAM_SCHEDULERS.get(s.type) is not None for s in cfg.get('param_scheduler') or ())


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_data_set_arguments_agree(path, monkeypatch):
    """Splits are known, and nothing is said twice; true masks are within reach of no training."""
    monkeypatch.setattr(mini, 'write_mini', lambda root: None)
    cfg = Config.fromfile(path)
    for mode in ('train', 'val', 'test'):
        if loader := cfg.get(f'{mode}_dataloader'):
            dataset = DATASETS.build(dict(loader.dataset, lazy_init=True, pipeline=[]))
            masks = 'seg_map_path' in dataset.data_prefix
            assert dataset.ann_file and masks == bool(loader.dataset.get('masks'))
            assert not masks or mode != 'train' or path.stem.endswith('-full')


@pytest.mark.parametrize('path', WSSS, ids=lambda p: p.stem)
def test_weakly_supervised_training_sees_no_masks(path):
    """Image labels only: no mask transform, no mask folder, not even as an unused path."""
    loader = Config.fromfile(path).get('train_dataloader')
    if loader is None:
        pytest.skip('not trained')
    dataset = loader.dataset
    transforms = types_in(dataset.to_dict())
    assert any('LoadImageLabels' in t for t in transforms)
    assert not [t for t in transforms if 'Annotation' in t or 'SegMap' in t or 'Mask' in t]
    assert not [k for k in dataset if 'mask' in k or 'seg_map' in k or k == 'data_prefix']


def test_the_walk_would_notice_masks():
    pipeline = [dict(type='LoadAnnotations'), dict(type='RandomApply', transforms=[dict(type='X')])]
    assert types_in(dict(pipeline=pipeline)) == ['LoadAnnotations', 'RandomApply', 'X']


def full_size_model(name: str, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A method on ViT-B/16 with random weights and drawn texts."""
    monkeypatch.setattr(FrozenCLIP, 'encode_text', lambda _, tokens: torch.randn(len(tokens), 512))
    model = Config.fromfile(ROOT / f'wsss/{name}.py').model
    model.backbone.checkpoint = 'random'
    if 'dino' in model:
        model.dino.checkpoint = 'random'
    if 'bank' in model.text:  # of descriptions that are not clustered here
        model.text.bank = torch.randn(512, 112)
    return MODELS.build(model).train()


@pytest.mark.parametrize(
    ('name', 'million'),
    [
        ('weclip_voc', 5.99),
        ('weclip_coco', 6.0),
        ('excel_voc', 6.31),
        ('excel_coco', 6.33),
        ('weclip_plus_voc', 2.93),
        ('weclip_plus_coco', 2.95),
    ],
)
def test_full_size_training_step(name, million, monkeypatch):
    """At the paper's crop, in both phases."""
    model = full_size_model(name, monkeypatch)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert round(trained / 1e6, 2) == million
    classes = model.text.num_classes
    samples = labelled_samples((1, classes - 1), num_classes=classes, size=(320, 320))
    optimizer = torch.optim.AdamW(model.decode_head.parameters(), lr=2e-3)
    before = [p.detach().clone() for p in model.decode_head.parameters()]
    data = dict(
        inputs=[torch.randint(0, 256, (3, 320, 320), dtype=torch.uint8) for _ in samples],
        data_samples=samples,
    )
    for start in (1, 0):
        if isinstance(model, WeCLIPPlus):
            model.relabel_start = start
        else:
            model.refiner.gated_start = start
        losses = model(**model.data_preprocessor(data, training=True), mode='loss')
        assert all(torch.isfinite(v) for v in losses.values())
        sum(losses.values()).backward()
        optimizer.step()
    after = list(model.decode_head.parameters())
    moved = [not torch.equal(a, b) for a, b in zip(after, before, strict=True)]
    assert sum(moved) > 0.9 * len(moved)


@pytest.mark.parametrize('path', PIPELINES, ids=lambda p: p.stem)
def test_pipelines_are_consistent(path):
    """Stages are complete, and what one reads from work_dirs another one writes before it."""
    written = set()
    stages = Pipeline(path).stages
    logs = {str(stage.work_dir) for stage in stages}
    for stage in stages:
        read = [stage.spec.get('source'), stage.spec.get('predictions')]
        if isinstance(stage, ConfigStage):
            read += folders_in(stage.config()[stage.loaders[0]].to_dict())
        assert {r for r in read if r and r.startswith('work_dirs/')} <= written
        written |= set(stage.outputs())
    assert not logs & written


def folders_in(value) -> list[str]:
    """All strings in a nested config that are paths below work_dirs."""
    if isinstance(value, dict):
        return [f for v in value.values() for f in folders_in(v)]
    if isinstance(value, list | tuple):
        return [f for v in value for f in folders_in(v)]
    return [value] if isinstance(value, str) and value.startswith('work_dirs/') else []


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_initial_weights_are_the_last_of_their_config(path):
    """``work_dirs/<config>/iter_N.pth`` in a config is what training <config> leaves."""
    for name in folders_in(Config.fromfile(path).model.to_dict()):
        source = Config.fromfile(next(ROOT.rglob(f'{Path(name).parent.name}.py')))
        assert Path(name).name == f'iter_{source.train_cfg.max_iters}.pth'
