"""Official WeCLIP checkpoints in our names."""

import pytest
import torch

from mmwsss.converters.weclip import convert_weclip, official_clip


def test_renames_and_drops():
    value = torch.zeros(1)
    official = {
        'module.encoder.visual.proj': value,
        'encoder.visual.positional_embedding_new': value,
        'encoder.token_embedding.weight': value,
        'decoder_fts_fuse.linears_modulelist.10.proj_2.bias': value,
        'decoder_fts_fuse.linear_fuse.weight': value,
        'decoder.transformer.resblocks.2.attn.in_proj_weight': value,
        'decoder.linear_pred.bias': value,
        'par.kernel': value,
    }
    assert set(convert_weclip(official)) == {
        'backbone.visual.proj',
        'decode_head.layers.10.2.bias',
        'decode_head.fusion.weight',
        'decode_head.blocks.2.attn.in_proj_weight',
        'decode_head.classifier.bias',
    }


def test_unknown_keys_are_named():
    with pytest.raises(ValueError, match=r'of WeCLIP: 1 of 1 keys are unknown: dino_encoder\.x'):
        convert_weclip({'dino_encoder.x': torch.zeros(1)})


def test_clip_inside():
    with pytest.raises(ValueError, match='no CLIP'):
        official_clip({'decoder.linear_pred.bias': torch.ones(4)})
    official = {'module.encoder.visual.proj': torch.ones(1), 'encoder.ln_final.bias': torch.ones(2),
                'encoder.visual.positional_embedding_new': torch.ones(3),
                'decoder.linear_pred.bias': torch.ones(4)}  # fmt: skip
    assert set(official_clip(official)) == {'visual.proj', 'ln_final.bias'}
