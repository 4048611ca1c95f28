"""Writing pseudo masks: what becomes of a config, and what a folder of them remembers."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image

from mmwsss.datasets.inputs import build_dataset, image_inputs
from mmwsss.stages import Launch
from mmwsss.stages.predict import make_pseudo_masks, set_prediction, write_missing
from mmwsss.utils.provenance import ChangedError, only_one

ROOT = Path(__file__).parents[2] / 'configs'


def load(name: str, **changes) -> Config:
    cfg = Config.fromfile(ROOT / f'{name}.py')
    cfg.merge_from_dict(changes)
    return cfg


def test_a_config_that_trains_and_judges_becomes_one_that_writes():
    cfg = load('wsss/weclip_voc')
    set_prediction(cfg, dict(cams='a', masks='b'), 'train_aug')
    assert cfg.model.test_cfg.predict == 'cam'
    dataset = cfg.test_dataloader.dataset
    assert (dataset.split, dataset.masks) == ('train_aug', False)
    steps = [step.type for step in dataset.pipeline]
    assert steps == ['LoadImageFromFile', 'mmwsss.LoadImageLabels', 'mmwsss.PackWSSSInputs']
    written = [(e.type, e.output_dir) for e in cfg.test_evaluator]
    assert written == [('mmwsss.CAMStoreWriter', 'a'), ('mmwsss.PseudoMaskWriter', 'b')]


def test_writers_keep_their_settings():
    cfg = load('wsss/psa_coco_cam')
    set_prediction(cfg, dict(cams='a', masks='b'))
    assert [e.get('stride') for e in cfg.test_evaluator] == [4, None]


def test_without_a_word_the_writers_of_the_config_write_as_it_says():
    cfg = load('wsss/psa_mini_cam')
    set_prediction(cfg)
    assert [e.type for e in cfg.test_evaluator] == ['mmwsss.CAMStoreWriter']
    assert cfg.test_dataloader.dataset.split == 'train'
    assert cfg.model.test_cfg.to_dict() == load('wsss/psa_mini_cam').model.test_cfg.to_dict()


def test_segmentations_are_written_with_views_and_crf():
    cfg = load('wsss/afa_mini')
    set_prediction(cfg, dict(masks='m'), predict='seg', tta=True, crf='afa')
    test_cfg = cfg.model.test_cfg
    assert (test_cfg.predict, test_cfg.flip, test_cfg.crf) == ('seg', True, dict(preset='afa'))
    cfg = load('segmentation/deeplabv1_resnet38_voc')
    set_prediction(cfg, dict(masks='m'), 'train_aug', tta=True, crf='deeplabv1')
    assert cfg.model.test_cfg.predict == 'seg' and len(cfg.model.test_cfg.scales) == 6
    cfg = load('segmentation/deeplabv3plus_r50_pseudo_voc')
    set_prediction(cfg, dict(masks='m'), 'train_aug', crf='deeplabv1')
    assert (cfg.model.type, cfg.model.scores) == ('mmwsss.DenseCRFModel', 'logits')
    assert 'predict' not in cfg.model.module.test_cfg


def test_masks_of_own_data_are_out_of_reach_too():
    own = dict(type='mmwsss.ImageLabelDataset', data_prefix=dict(img_path='i', seg_map_path='m'))
    cfg = load('wsss/weclip_voc')
    cfg.test_dataloader.dataset = dict(own, pipeline=cfg.test_pipeline)
    set_prediction(cfg, dict(masks='m'))
    assert cfg.test_dataloader.dataset.data_prefix == dict(img_path='i')
    with pytest.raises(ValueError, match=r"has no split 'train'; it has none\. Own data"):
        set_prediction(cfg, dict(masks='m'), 'train')


@pytest.mark.parametrize(
    ('name', 'arguments', 'message'),
    [
        ('wsss/afa_mini', dict(), 'holds no writer .* say what to write'),
        ('wsss/afa_mini', dict(write=dict(mask='m')), "write must be .*did you mean 'masks'"),
        ('wsss/afa_mini', dict(write=dict(masks='m'), split='train_aug'), 'it has train, val'),
        ('wsss/afa_mini', dict(write=dict(masks='m'), tta=True), r'scales, flip \(--tta, --crf\)'),
        ('wsss/afa_mini', dict(write=dict(masks='m'), crf='psa'), 'run tools/dense_crf.py'),
        ('wsss/afa_mini', dict(write=dict(masks='m'), crf='pas'), 'presets are'),
        ('wsss/afa_mini', dict(write=dict(cams='m'), predict='seg'), "predict='cam' only"),
        (
            'segmentation/weakclip_vit-b16_voc',
            dict(write=dict(masks='m'), predict='cam'),
            'predict of mmwsss.WeakCLIP must be one of seg',
        ),
        (
            'segmentation/deeplabv3plus_r50_pseudo_voc',
            dict(write=dict(masks='m'), tta=True),
            'neither tta_cfg',
        ),
    ],
)
def test_what_does_not_suit_a_config_is_refused_before_anything_runs(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        set_prediction(load(name), **arguments)


def run(folder: Path, checkpoint: str = 'first.pth', **arguments) -> dict[str, str]:
    launch = Launch(tools=folder)
    return make_pseudo_masks('one.py', checkpoint, out='out', launch=launch, **arguments)


@pytest.fixture
def checkpoints(folder):
    for name in ('first', 'second'):
        (folder / f'{name}.pth').write_text(name)
    return folder


def test_files_that_are_there_are_not_made_again(checkpoints):
    assert run(checkpoints) == {'masks': 'out/masks'}
    log = checkpoints / 'out/masks/log'
    assert log.read_text() == 'a.png b.png c.png '
    (checkpoints / 'out/masks/b.png').unlink()
    run(checkpoints)
    assert log.read_text() == 'a.png b.png c.png b.png '
    record = json.loads((checkpoints / 'out/masks/made_from.json').read_text())
    assert set(record['files']) == set('abc') and record['settings']['model']


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(checkpoint='second.pth'), 'other settings: weights'),
        (dict(cfg_options={'model.pretrained': 'x'}), 'other settings: model.pretrained'),
        (dict(crf='psa'), 'other settings: model'),
        (
            dict(cfg_options={'test_evaluator.0.field': 'pred_pseudo_mask'}),
            'other settings: field',
        ),
    ],
)
def test_files_of_another_run_are_refused_and_kept(checkpoints, changes, message):
    run(checkpoints)
    with pytest.raises(ChangedError, match=message):
        run(checkpoints, **changes)
    log = checkpoints / 'out/masks/log'
    assert log.read_text() == 'a.png b.png c.png '
    run(checkpoints, **changes, restart=True)
    assert log.read_text() == 'a.png b.png c.png ' * 2


def test_files_of_unknown_origin_are_refused(checkpoints):
    masks = checkpoints / 'out/masks'
    masks.mkdir(parents=True)
    (masks / 'a.png').write_bytes(Path('mask.png').read_bytes())
    with pytest.raises(ChangedError, match='not known what they were made from'):
        run(checkpoints, restart=True)


def test_mistakes_are_named(checkpoints, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r'Checkpoint third\.pth does not exist'):
        run(checkpoints, 'third.pth')
    monkeypatch.setenv('LOSE', 'b')
    with pytest.raises(RuntimeError, match=r'has left no \.png file in out/masks for 1 of 3 .*: b'):
        run(checkpoints)


def shorten(text: str = 'a\nb\n') -> None:
    Path('data/ids.txt').write_text(text)


def test_masks_of_a_larger_split_do_not_stay_among_those_of_a_smaller_one(checkpoints):
    """The same config and weights, but its list is shorter now."""
    run(checkpoints)
    shorten()
    with pytest.raises(ChangedError, match=r'also holds \.png files of 1 images .*: c\. Use'):
        run(checkpoints)
    assert (checkpoints / 'out/masks/c.png').is_file()
    run(checkpoints, restart=True)
    assert sorted(p.stem for p in (checkpoints / 'out/masks').glob('*.png')) == ['a', 'b']
    assert (checkpoints / 'out/masks/log').read_text() == 'a.png b.png c.png '


def test_class_names_and_named_weights_are_remembered(checkpoints):
    Path('names.txt').write_text('cat\n')
    Path('bank.pth').write_text('one')
    config = Path('one.py').read_text().replace("('background', 'cat')", "'names.txt'")
    config = config.replace("type='EncoderDecoder'", "type='EncoderDecoder', pretrained='bank.pth'")
    Path('one.py').write_text(config)
    run(checkpoints)
    Path('names.txt').write_text('dog\n')
    with pytest.raises(ChangedError, match='other settings: classes'):
        run(checkpoints)
    Path('names.txt').write_text('cat\n')
    Path('bank.pth').write_text('two')
    with pytest.raises(ChangedError, match=r'other settings: named\.model\.pretrained'):
        run(checkpoints)


def two_writers() -> list[dict]:
    writer = dict(type='mmwsss.PseudoMaskWriter')
    return [dict(writer, output_dir='out/one'), dict(writer, output_dir='out/two')]


def write_two(folder: Path, seed: int, restart: bool = False) -> None:
    """Two folders by one config, whose tool does nothing."""
    cfg = Config.fromfile('one.py')
    cfg.test_evaluator = two_writers()
    set_prediction(cfg)
    write_missing('it', cfg, dict(seed=seed), folder / 'left.txt', lambda cfg: None, restart)


def test_restart_throws_nothing_away_if_another_folder_is_refused(folder):
    with pytest.raises(RuntimeError, match=r'it has left no \.png file in out/one for 3 of 3'):
        write_two(folder, 1)
    for name in ('one', 'two'):
        for key in 'abc':
            (folder / f'out/{name}/{key}.png').write_bytes(Path('mask.png').read_bytes())
    write_two(folder, 1)
    (folder / 'out/two/made_from.json').unlink()
    with pytest.raises(ChangedError, match=r'two holds 3 .* not known what they were made from'):
        write_two(folder, 2, restart=True)
    assert len(list((folder / 'out/one').glob('*.png'))) == 3


@pytest.mark.parametrize('place', ['data/images', 'link', 'store', 'data/../store'])
def test_nothing_that_is_read_is_claimed_or_thrown_away(folder, place):
    """Refused before the folder is touched, even if an earlier run has marked it as its own."""
    Path('store').mkdir()
    Path('link').symlink_to('data/images')
    for key in 'abc':
        (folder / f'store/{key}.png').write_bytes(Path('mask.png').read_bytes())
    Path('store/made_from.json').write_text('{"settings": {}, "files": {}}')
    cfg = Config.fromfile('one.py')
    cfg.test_evaluator = [dict(two_writers()[0], output_dir=place)]
    set_prediction(cfg)
    cfg.test_dataloader.dataset.saliency_dir = 'store'
    before = {path: path.read_bytes() for path in Path(place).iterdir()}
    with pytest.raises(ValueError, match=r'would be overwritten'):
        write_missing('it', cfg, {}, folder / 'left.txt', lambda cfg: None, True)
    assert {path: path.read_bytes() for path in Path(place).iterdir()} == before


def test_two_writers_do_not_share_a_folder(folder):
    cfg = Config.fromfile('one.py')
    cfg.test_evaluator = [two_writers()[0], dict(two_writers()[0], output_dir='out/../out/one')]
    set_prediction(cfg)
    with pytest.raises(ValueError, match=r'is out/\.\./out/one, which is also output_dir of'):
        write_missing('it', cfg, {}, folder / 'left.txt', lambda cfg: None)


def test_two_images_of_one_id_in_subfolders_are_no_one_file(tmp_path):
    """Stock data sets allow them; one mask would overwrite the other."""
    for town in ('here', 'there'):
        (tmp_path / town).mkdir()
        Image.new('RGB', (5, 4)).save(tmp_path / town / '1.jpg')
    (tmp_path / 'list.txt').write_text('here/1\nthere/1\n')
    data = dict(
        type='BaseSegDataset',
        data_root=str(tmp_path),
        ann_file='list.txt',
        data_prefix=dict(img_path=''),
        metainfo=dict(classes=('background', 'cat')),
    )
    with pytest.raises(ValueError, match=r'here/1\.jpg and .*there/1\.jpg have the same image id'):
        image_inputs(build_dataset(data))


def test_two_runs_at_once_in_one_folder(checkpoints):
    with (
        only_one('out', 'writing pseudo masks'),
        pytest.raises(RuntimeError, match='another run of writing pseudo masks is active in out'),
    ):
        run(checkpoints)


def test_a_wrapper_of_data_sets_is_named():
    cfg = load('wsss/afa_mini')
    inner = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[inner, inner])
    with pytest.raises(ValueError, match=r'is a ConcatDataset: .* name it without a wrapper'):
        set_prediction(cfg, dict(masks='m'))
