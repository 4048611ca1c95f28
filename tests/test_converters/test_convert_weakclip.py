"""Official key lists of WeakCLIP against the shipped configs."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.converters.weakclip import DEAD, convert_weakclip, official_clip
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]


def shapes(name):
    path = ROOT / f'tests/golden/weakclip/manifest_weakclip_{name}.json'
    return {key: tuple(shape) for key, shape in json.loads(path.read_text()).items()}


@pytest.fixture(scope='module')
def networks():
    """Every full-size network on the meta device, built once."""
    init_default_scope('mmseg')
    built = {}

    def build(config):
        if config not in built:
            model = Config.fromfile(ROOT / f'configs/segmentation/{config}.py').model
            model.backbone.checkpoint = 'random'
            built[config] = MODELS.build(model)
        return built[config]

    return build


@pytest.mark.parametrize(
    ('config', 'keys'), [('weakclip_vit-b16_voc', 'voc'), ('weakclip_vit-b16_coco91', 'coco')]
)
def test_official_checkpoints_cover_network_and_clip(config, keys, networks):
    model, official = networks(config), shapes(keys)
    assert len(official) == 521
    own = {k: tuple(v.shape) for k, v in model.state_dict().items() if k != 'backbone.digest'}
    converted = convert_weakclip(official)
    assert converted == own
    towers = {
        name: tuple(p.shape)
        for part in ('visual', 'text_tower')
        for name, p in getattr(model.backbone, part).state_dict(prefix=f'{part}.').items()
    }
    clip = official_clip(official)
    assert clip.pop('logit_scale') == pytest.approx(torch.tensor(100.0).log())
    assert {k.removeprefix('text_tower.'): v for k, v in towers.items()} == clip
    dead = [key for key in official if re.fullmatch(DEAD, key)]
    assert len(dead) == 80  # the rest has a place: nothing is dropped unseen
    assert len(converted) + len(clip) + len(dead) == len(official)


@pytest.mark.parametrize(
    ('config', 'millions'), [('weakclip_vit-b16_voc', 9.95), ('weakclip_vit-b16_coco', 10.02)]
)
def test_trained_parameters(config, millions, networks):
    """Neck 3.17, head 4.14, co-attention 2.63 and prompts 0.005 million; CLIP and adapter rest."""
    trained = {n: p.numel() for n, p in networks(config).named_parameters() if p.requires_grad}
    parts = {name.split('.')[0] for name in trained}
    assert parts == {'gamma', 'beta', 'prompts', 'co_attention', 'neck', 'decode_head'}
    assert sum(trained.values()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_a_checkpoint_loads_strictly_and_with_its_clip_alone(networks):
    """The digest ties what is trained to the CLIP it was trained with."""
    model = networks('weakclip_vit-b16_voc')
    seeded = {k: torch.full(v, 0.5) for k, v in convert_weakclip(shapes('voc')).items()}
    model.load_state_dict(seeded, strict=True)
    assert (model.gamma == 0.5).all() and (model.adapter.levels[0][1].bias == 0.5).all()
    with pytest.raises(ValueError, match='trained with another CLIP'):
        model.load_state_dict(dict(seeded, **{'backbone.digest': torch.tensor(1)}))


def test_nothing_of_another_method_is_taken():
    with pytest.raises(ValueError, match=r'not a checkpoint of WeakCLIP: .*encoder\.visual\.proj'):
        convert_weakclip({'encoder.visual.proj': 0})
    with pytest.raises(ValueError, match='there is no CLIP'):
        official_clip({'gamma': 0})
