"""An inferencer saved, loaded again, and folders that must not be trusted."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.apis import WSSSInferencer
from mmwsss.apis.pretrained import find_folder, write_network
from mmwsss.datasets.mini_render import render_mini
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]

CLASSES = {'ship': 'boat', 'cow': 'cow'}
GROUNDS = ['water', 'grass']


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """A folder, and the inferencer that wrote it."""
    inferencer = WSSSInferencer('clip_es_mini', CLASSES, GROUNDS, device='cpu', max_side=200)
    folder = tmp_path_factory.mktemp('saved') / 'model'
    inferencer.save_pretrained(folder, {'mIoU, mini val': 41.5, 'a | b': 1})
    return folder, inferencer


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that may be spoilt."""
    copy = tmp_path / 'copy'
    copy.mkdir()
    for path in saved[0].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def change(folder, edit):
    config = json.loads((folder / 'config.json').read_text())
    edit(config)
    (folder / 'config.json').write_text(json.dumps(config))


def test_the_same_masks(saved):
    folder, inferencer = saved
    assert sorted(p.name for p in folder.iterdir()) == [
        'README.md', 'config.json', 'model.safetensors',
    ]  # fmt: skip
    loaded = WSSSInferencer.from_pretrained(folder, device='cpu')
    assert loaded.classes == ('background', 'ship', 'cow')
    assert loaded.model.text.class_names == ['boat', 'cow']
    assert loaded.model.text.background_names == GROUNDS
    assert (loaded.max_side, loaded.palette) == (200, inferencer.palette)
    image = render_mini('val', 0)[0][..., ::-1]
    ours, theirs = (i(image, ['ship'])['predictions'] for i in (inferencer, loaded))
    assert np.array_equal(ours.cams, theirs.cams) and np.array_equal(ours.mask, theirs.mask)


def test_windows_are_saved(tmp_path):
    ours = WSSSInferencer('clip_es_mini', ['cow'], window=96, stride=50, device='cpu')
    ours.save_pretrained(tmp_path / 'model')

    def load(**given):
        one = WSSSInferencer.from_pretrained(tmp_path / 'model', device='cpu', **given)
        return one.window, one.stride, one.max_side

    assert load() == (96, 50, ours.max_side)
    assert load(window=None) == (None, None, 512), 'the sides of windows go with them'
    assert load(window=66) == (66, 44, ours.max_side)


def test_other_classes_of_a_loaded_one(saved):
    loaded = WSSSInferencer.from_pretrained(saved[0], classes=['emu'], crf=None, device='cpu')
    assert (loaded.classes, loaded.crf) == (('background', 'emu'), None)


def test_the_card(saved):
    card = (saved[0] / 'README.md').read_text()
    assert '| mIoU, mini val | 41.5 |' in card
    assert '- ship: `boat`\n- cow\n' in card
    assert r'| a \| b | 1 |' in card, 'a table of two columns'


def test_excel_with_its_descriptions(tmp_path):
    bank = tmp_path / 'd.json'
    bank.write_text(json.dumps({n: [f'a {n} on {g}.' for g in GROUNDS] for n in ('boat', 'cow')}))
    ours = WSSSInferencer('excel_free_mini', ['boat', 'cow'], GROUNDS, device='cpu', bank=bank)
    ours.save_pretrained(tmp_path / 'model')
    bank.unlink()
    loaded = WSSSInferencer.from_pretrained(tmp_path / 'model', device='cpu')
    assert np.array_equal(ours.model.text.enriched, loaded.model.text.enriched)
    assert not np.array_equal(loaded.model.text.enriched, loaded.model.text.embeddings)


def test_a_pickle_is_refused(folder):
    (folder / 'model.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match=r'has no model\.safetensors'):
        WSSSInferencer.from_pretrained(folder)
    (folder / 'pytorch_model.bin').write_bytes(b'cos\nsystem\n.')
    with pytest.raises(ValueError, match=r'pytorch_model\.bin in place of .* never loaded'):
        WSSSInferencer.from_pretrained(folder, trust_remote_code=True)


def test_imports_need_trust(folder, tmp_path, monkeypatch):
    (tmp_path / 'foreign_code.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    change(folder, lambda c: c.update(custom_imports=dict(imports=['foreign_code'])))
    with pytest.raises(ValueError, match=r'wants to import .*foreign_code.*trust_remote_code=True'):
        WSSSInferencer.from_pretrained(folder, device='cpu')
    assert 'foreign_code' not in sys.modules
    WSSSInferencer.from_pretrained(folder, device='cpu', trust_remote_code=True)
    assert sys.modules.pop('foreign_code')


@pytest.mark.parametrize('name', ['os.system', 'foreign_type', 'mmwsss.foreign_type', ['os'], None])
def test_types_that_are_not_registered(folder, tmp_path, monkeypatch, name):
    """mmengine would import what they name, and call it."""
    (tmp_path / 'foreign_type.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    added = [dict(nested=dict(type=name))]
    change(folder, lambda c: c['model'].update(extra=added))
    with pytest.raises(ValueError, match='could run any code'):
        WSSSInferencer.from_pretrained(folder, device='cpu')
    assert 'foreign_type' not in sys.modules


@pytest.mark.parametrize(
    'edit, message',
    [
        (lambda c: c.clear(), 'is no config of an inferencer'),
        (lambda c: c['model'].update(text=3), 'is no config of an inferencer'),
        (
            lambda c: c['model'].update(text={}),
            r'config\.json .*model\.text must be an object with',
        ),
        (lambda c: c['model']['text'].pop('class_names'), r'config\.json .*text\.class_names must'),
        (lambda c: c.update(test_pipeline=[{}]), r'config\.json .*test_pipeline\.0 must be an obj'),
        (lambda c: c.update(test_dataloader=3), r'test_dataloader\.dataset must be an object'),
        (lambda c: c['model']['backbone'].update(pretrained='x.pth'), 'outside of the folder'),
        (
            lambda c: c['model']['backbone'].update(init_cfg=dict(checkpoint='https://a/x.pth')),
            r'outside of the folder: model\.backbone\.init_cfg\.checkpoint=',
        ),
        (lambda c: c['model'].update(_scope_='os'), 'has a _scope_'),
        (lambda c: c['model']['text'].update(bank='/etc/x.pth'), r'text\.bank must be one of'),
        (lambda c: c['inferencer'].update(clip='x'), 'inferencer may hold palette'),
        (lambda c: c['model'].update(decode_head={}), 'has a decode_head'),
    ],
)
def test_broken_configs(folder, edit, message):
    change(folder, edit)
    with pytest.raises(ValueError, match=message):
        WSSSInferencer.from_pretrained(folder, device='cpu')


def test_the_weights_of_the_folder_are_taken(folder):
    """Whatever file the config names."""
    change(folder, lambda c: c['model']['backbone'].update(checkpoint='/etc/passwd'))
    loaded = WSSSInferencer.from_pretrained(folder, device='cpu')
    assert loaded._clip_file == folder / 'model.safetensors'


def test_where_nothing_can_be_saved(saved, tmp_path):
    folder, inferencer = saved
    with pytest.raises(ValueError, match='is not empty'):
        inferencer.save_pretrained(folder)
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='Cannot write into'):
        inferencer.save_pretrained(tmp_path / 'file')


def test_the_hub(saved, monkeypatch):
    import huggingface_hub

    asked = {}

    def download(name, **kwargs):
        asked.update(kwargs, name=name)
        return str(saved[0])

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', download)
    loaded = WSSSInferencer.from_pretrained('owner/pets', revision='v1', device='cpu')
    assert loaded.classes == ('background', 'ship', 'cow')
    assert (asked['name'], asked['revision']) == ('owner/pets', 'v1')
    assert not any(Path(pattern).suffix in ('.bin', '.pth', '.py') or '*' in pattern
                   for pattern in asked['allow_patterns'])  # fmt: skip
    monkeypatch.setattr(huggingface_hub, 'snapshot_download', lambda *_, **__: 1 / 0)
    with pytest.raises(FileNotFoundError, match='cannot be had from the Hugging Face hub'):
        find_folder('owner/pets')
    with pytest.raises(FileNotFoundError, match='neither a folder nor owner/name'):
        find_folder('some/deep/folder')


# trained networks


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """``{config: (folder, the inferencer that wrote it)}`` of networks with random weights."""
    init_default_scope('mmseg')
    root, found = tmp_path_factory.mktemp('trained'), {}
    for name in ('segmentation/deeplabv3plus_r18_pseudo_mini', 'wsss/weclip_plus_mini'):
        cfg = Config.fromfile(ROOT / f'configs/{name}.py')
        checkpoint = root / f'{Path(name).name}.pth'
        torch.manual_seed(0)
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), checkpoint)
        inferencer = WSSSInferencer(cfg, weights=checkpoint, device='cpu', original_size=False)
        folder = root / Path(name).name
        inferencer.save_pretrained(folder, {'mIoU, mini val': 44.1})
        found[Path(name).name] = folder, inferencer
        checkpoint.unlink()
    return found


@pytest.mark.parametrize(
    ('name', 'frozen'),
    [
        ('deeplabv3plus_r18_pseudo_mini', []),
        ('weclip_plus_mini', ['clip.safetensors', 'dino.safetensors']),
    ],
)
def test_a_trained_network_predicts_the_same(trained, name, frozen):
    folder, ours = trained[name]
    there = ['README.md', 'config.json', 'model.safetensors', *frozen]
    assert sorted(path.name for path in folder.iterdir()) == sorted(there)
    theirs = WSSSInferencer.from_pretrained(folder, device='cpu')
    assert (theirs.classes, theirs.palette) == (ours.classes, ours.palette)
    assert not theirs.original_size
    image = render_mini('val', 0)[0][..., ::-1]
    a, b = (inferencer(image)['predictions'] for inferencer in (ours, theirs))
    assert np.ptp(a.cams) > 0
    assert np.array_equal(a.mask, b.mask) and np.array_equal(a.cams, b.cams)


def test_the_card_of_a_trained_network(trained):
    card = (trained['weclip_plus_mini'][0] / 'README.md').read_text()
    assert '# WeCLIPPlus' in card and '| mIoU, mini val | 44.1 |' in card and '\n- boat\n' in card


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda c: c['model']['backbone'].update(checkpoint='/etc/x'), 'outside of the folder'),
        (lambda c: c['model']['backbone'].update(pretrained='x.pth'), 'outside of the folder'),
        (
            # mmseg unpickles it
            lambda c: c['model']['decode_head']['loss_decode'].update(
                class_weight='http://a/x.pkl'
            ),
            r'outside of the folder: model\.decode_head\.loss_decode\.class_weight',
        ),
        (lambda c: c.update(test_pipeline=[{}]), r'config\.json .*test_pipeline\.0 must be an obj'),
        (lambda c: c.pop('test_dataloader'), r'test_dataloader\.dataset must be an object'),
        (lambda c: c['model']['backbone'].update(type='os.system'), 'could run any code'),
        (lambda c: c['model']['decode_head'].update(num_classes=4), 'does not fit the model'),
        (lambda c: c.pop('test_pipeline'), 'is no config of an inferencer'),
    ],
)
def test_broken_folders_of_trained_networks(trained, tmp_path, edit, message):
    copy = shutil.copytree(trained['deeplabv3plus_r18_pseudo_mini'][0], tmp_path / 'copy')
    change(copy, edit)
    with pytest.raises(ValueError, match=message):
        WSSSInferencer.from_pretrained(copy, device='cpu')


def test_pickles_and_missing_frozen_weights_of_a_trained_network(trained, tmp_path):
    copy = shutil.copytree(trained['weclip_plus_mini'][0], tmp_path / 'copy')
    (copy / 'clip.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match=r'has no clip\.safetensors'):
        WSSSInferencer.from_pretrained(copy, device='cpu')
    (copy / 'model.safetensors').rename(copy / 'iter_1000.pth')
    with pytest.raises(ValueError, match=r'iter_1000\.pth in place of model\.safetensors'):
        WSSSInferencer.from_pretrained(copy, device='cpu')


def test_files_that_cannot_come_along(trained, tmp_path):
    ours = trained['deeplabv3plus_r18_pseudo_mini'][1]
    (tmp_path / 'list.txt').write_text('')
    config = dict(model=dict(class_weight=str(tmp_path / 'list.txt')), test_pipeline=[])
    with pytest.raises(
        ValueError, match=r'model\.class_weight of the config names the file .*list'
    ):
        write_network(tmp_path / 'new', config, ours.model, ours.classes[1:])
    assert not (tmp_path / 'new').exists()


def test_a_class_may_be_called_as_a_file_is(trained, tmp_path, monkeypatch):
    ours = trained['deeplabv3plus_r18_pseudo_mini'][1]
    monkeypatch.chdir(tmp_path)
    Path('boat').write_text('')
    text = dict(class_names=['boat'], background_names=['boat'])
    config = dict(model=dict(type='mmwsss.WeCLIP', text=text), test_pipeline=[])
    write_network('new', config, ours.model, ['boat'])
    assert json.loads(Path('new/config.json').read_text())['model']['text'] == text
