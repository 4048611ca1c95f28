"""Official key lists of ExCEL and WeCLIP+ against the configured decoders."""

import json
from math import prod
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmwsss.converters.excel import convert_excel
from mmwsss.converters.weclip_plus import convert_weclip_plus, official_dino
from mmwsss.models.utils.dino_weights import build_dino
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / 'tests/golden'


def shapes(name):
    return {k: tuple(v) for k, v in json.loads((GOLDEN / name).read_text()).items()}


def decoder(config):
    """Names and shapes of the decoder of a config."""
    head = MODELS.build(Config.fromfile(ROOT / f'configs/wsss/{config}.py').model.decode_head)
    return {f'decode_head.{k}': tuple(v.shape) for k, v in head.state_dict().items()}


@pytest.mark.parametrize(
    ('config', 'manifest', 'millions'),
    [
        ('excel_voc', 'excel/manifest_released_checkpoint_voc.json', 6.31),
        ('excel_coco', 'excel/manifest_heads_coco.json', 6.33),
    ],
)
def test_excel_checkpoints_cover_the_decoder(config, manifest, millions):
    own = decoder(config)
    assert convert_excel(shapes(manifest)) == own
    assert sum(map(prod, own.values())) / 1e6 == pytest.approx(millions, abs=0.005)


def test_weclip_plus_checkpoints_cover_decoder_and_dino():
    official = shapes('weclip/manifest_weclip_plus_dino_voc.json')
    own, converted = decoder('weclip_plus_voc'), convert_weclip_plus(official)
    assert {k: v for k, v in converted.items() if k.startswith('decode_head.')} == own
    assert sum(map(prod, own.values())) / 1e6 == pytest.approx(2.93, abs=0.005)
    dino = {k: torch.zeros(v) for k, v in official_dino(official).items()}
    assert len(dino) == 174
    assert {f'dino.vit.{k}' for k in build_dino(dino).state_dict()} == {
        k for k in converted if k.startswith('dino.')
    }


def test_nothing_of_a_dino_is_found_in_weclip():
    with pytest.raises(ValueError, match=r'of WeCLIP\+: there is no DINOv2'):
        official_dino({'decoder.linear_pred.bias': (4,)})
