"""Files that a config names are found, whatever they are called there."""

import hashlib
from pathlib import Path

import pytest

from mmwsss.models.utils.clip_weights import MINI_CLIP
from mmwsss.models.utils.dino_weights import MINI_DINO, weights_file
from mmwsss.models.utils.model_files import digest_named_files


def sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def test_shipped_and_own_files(tmp_path):
    own = tmp_path / 'own.pth'
    own.write_bytes(b'weights')
    model = dict(
        backbone=dict(type='mmwsss.SurgeryCLIP', checkpoint='mini'),
        dino=dict(type='mmwsss.FrozenDINOv2', checkpoint='mini'),
        heads=[dict(init_cfg=[dict(checkpoint=str(own), prefix='a.')])],
        text=dict(bank='mini'),
        neck=dict(init_cfg=dict(checkpoint='mmwsss://mini_mit'), checkpoint='random'),
        name='a' * 5000,
    )
    found = digest_named_files(dict(model=model))
    assets = MINI_CLIP.parent
    assert found == {
        'model.backbone.checkpoint': sha1(MINI_CLIP),
        'model.dino.checkpoint': sha1(MINI_DINO),
        'model.heads.0.init_cfg.0.checkpoint': sha1(own),
        'model.text.bank': sha1(assets / 'mini_descriptions.json'),
        'model.neck.init_cfg.checkpoint': sha1(assets / 'mini_mit.safetensors'),
    }


def test_a_name_is_the_file_that_is_found_by_it(tmp_path, monkeypatch):
    """So that other weights under the same name are noticed."""
    backbone = dict(backbone=dict(type='mmwsss.FrozenCLIP', checkpoint='openai'))
    dino = dict(dino=dict(type='mmwsss.FrozenDINOv2', checkpoint='dinov2_vits14'))
    for number in '12':
        folder = tmp_path / number
        folder.mkdir()
        (folder / 'clip.pt').write_text(f'clip {number}')
        (folder / weights_file('dinov2_vits14')).write_text(f'dino {number}')
        monkeypatch.setenv('MMWSSS_CLIP_CKPT', str(folder / 'clip.pt'))
        monkeypatch.setenv('MMWSSS_DINO_DIR', str(folder))
        assert list(digest_named_files(backbone).values()) == [sha1(folder / 'clip.pt')]
        expected = sha1(folder / weights_file('dinov2_vits14'))
        assert digest_named_files(dino) == {'dino.checkpoint': expected}


@pytest.mark.parametrize('kind', ['FrozenCLIP', 'FrozenDINOv2'])
def test_missing_weights_are_named_with_their_key(kind):
    cfg = dict(model=dict(tower=dict(type=f'mmwsss.{kind}', checkpoint='no/where.pt')))
    with pytest.raises(FileNotFoundError, match=r'model\.tower\.checkpoint: .* no/where\.pt '):
        digest_named_files(cfg)
