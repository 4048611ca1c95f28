"""Trained networks behind the same inferencer."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement, PixelData
from mmseg.models.segmentors import BaseSegmentor
from PIL import Image

from mmwsss.apis.trained_network import probabilities
from mmwsss.apis.wsss_inferencer import WSSSInferencer
from mmwsss.ops.multi_view.windows import slide
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
CLASSES = ('background', 'boat', 'car')
CONFIG = """
default_scope = 'mmseg'
model = dict(type='mmwsss.PixelStub', data_preprocessor=dict(type='SegDataPreProcessor'))
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels', optional=True),
    dict(type='mmwsss.PackWSSSInputs'),
]
test_dataloader = dict(dataset=dict(
    type='mmwsss.ImageLabelDataset',
    metainfo=dict(
        classes=('background', 'boat', 'car'), palette=[[0, 0, 0], [250, 0, 0], [0, 250, 0]])))
"""


@MODELS.register_module(force=True)
class PixelStub(BaseSegmentor):
    """Logits are the channels of the image, blue first, less their mean in the window."""

    def __init__(self, data_preprocessor=None, cams=False, channels=3):
        super().__init__(data_preprocessor=data_preprocessor)
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.cams, self.channels, self.test_cfg = cams, channels, {}
        if cams:
            self.settings = SimpleNamespace(predict_choices=('seg', 'cam'))

    def encode_decode(self, inputs, batch_data_samples=None):
        logits = (inputs - inputs.mean(dim=(-2, -1), keepdim=True)) * self.weight
        return logits[:, : self.channels]

    def predict(self, inputs, data_samples):
        for logits, sample in zip(self.encode_decode(inputs), data_samples, strict=True):
            sample.seg_logits = PixelData(data=logits)
            mask = logits.argmax(0) if len(logits) > 1 else (logits[0] > 0).long()
            sample.pred_sem_seg = PixelData(data=mask[None])
            if self.cams and 'gt_image_labels' in sample:
                labels = sample.gt_image_labels.label.nonzero().flatten()
                cam = torch.full((len(labels), *logits.shape[1:]), 0.25)
                sample.pred_cam = BaseDataElement(cam=cam, labels=labels)
        return data_samples

    def extract_feat(self, inputs):
        raise NotImplementedError

    def loss(self, inputs, data_samples):
        raise NotImplementedError

    def _forward(self, inputs, data_samples=None):
        raise NotImplementedError


@pytest.fixture
def make(tmp_path, monkeypatch):
    """An inferencer of the stub, with other arguments of it or of the model."""
    monkeypatch.chdir(tmp_path)
    Path('config.py').write_text(CONFIG)
    torch.save(dict(state_dict=dict(weight=torch.ones(1)), meta={}), 'model.pth')

    def build(model: dict | None = None, **options) -> WSSSInferencer:
        cfg = Config.fromfile('config.py')
        cfg.model.update(model or {})
        return WSSSInferencer(cfg, **{'weights': 'model.pth', 'device': 'cpu', **options})

    return build


def noise(height: int, width: int) -> np.ndarray:
    """BGR."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def logits_of(image: np.ndarray) -> torch.Tensor:
    pixels = torch.from_numpy(image).permute(2, 0, 1).float()
    return pixels - pixels.mean(dim=(-2, -1), keepdim=True)


def test_mask_and_probabilities_of_the_classes_in_it(make):
    inferencer, image = make(), noise(30, 40)
    assert inferencer.classes == CLASSES
    assert inferencer.palette[1] == [250, 0, 0]
    result = inferencer(image)['predictions']
    logits = logits_of(image)
    assert np.array_equal(result.mask, logits.argmax(0).numpy())
    assert result.label_names == ['boat', 'car']
    np.testing.assert_allclose(result.cams, logits.softmax(0)[1:].numpy(), atol=1e-5)
    assert np.array_equal(result.image, image[..., ::-1])
    assert result.scores is None
    given = inferencer(image, ['car'])['predictions']
    assert given.label_names == ['car']
    assert np.array_equal(given.cams, result.cams[1:])
    assert np.array_equal(given.mask, result.mask)


def test_maps_of_a_network_that_makes_them(make):
    result = make(dict(cams=True))(noise(30, 40), ['car'])['predictions']
    assert result.label_names == ['car']
    assert result.cams.shape == (1, 30, 40)
    assert (result.cams == 0.25).all()


def test_maps_for_labels_are_not_made_window_by_window(make):
    windows = make(dict(cams=True), window=64)
    with pytest.raises(ValueError, match='PixelStub makes for image labels'):
        windows(noise(70, 100), ['car'])
    assert windows(noise(70, 100))['predictions'].mask.shape == (70, 100)


def test_windows_average_the_scores(make):
    image = noise(70, 100)
    image[..., 0] = np.linspace(0, 255, 100)  # windows have other means than the image
    result = make(window=64, stride=40)(image)['predictions']
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    stub = PixelStub()
    with torch.no_grad():
        logits = slide(stub.encode_decode, tensor, (64, 64), (40, 40))[0]
    assert (result.mask != logits.argmax(0).numpy()).mean() < 1e-3
    assert not np.array_equal(result.mask, make()(image)['predictions'].mask)
    np.testing.assert_allclose(result.cams, logits.softmax(0)[1:].numpy(), atol=1e-3)
    small = noise(64, 60)
    plain, windows = make(), make(window=64, stride=40)
    assert np.array_equal(plain(small)['predictions'].mask, windows(small)['predictions'].mask)


def test_one_channel(make):
    image = noise(30, 40)
    classes = dict(metainfo=dict(classes=('background', 'boat'), palette=[[0] * 3, [9] * 3]))
    text = Path('config.py').read_text().replace("'boat', 'car'", "'boat'")
    Path('config.py').write_text(text.replace(', [0, 250, 0]', ''))
    result = make(dict(channels=1))(image)['predictions']
    expected = logits_of(image)[:1].sigmoid().numpy()
    np.testing.assert_allclose(result.cams, expected, atol=1e-5)
    assert classes['metainfo']['classes'] == make(dict(channels=1)).classes
    with pytest.raises(ValueError, match='PixelStub gives 1 scores for 2 classes'):
        make(dict(channels=1), window=64)(noise(70, 90))


def test_a_tiny_image_does_not_stop_the_others(make, monkeypatch):
    inferencer = make()
    whole = inferencer.network._predict

    def predict(image, labels):
        if min(image.shape[:2]) < 4:
            raise ValueError('smaller than a patch')
        return whole(image, labels)

    monkeypatch.setattr(inferencer.network, '_predict', predict)
    out = inferencer([noise(70, 80), noise(2, 90), noise(70, 80)], show_progress=False)
    assert len(out['predictions']) == 2
    assert out['failed'] == {
        '00000001': 'image 00000001 may be too small for the network: smaller than a patch'
    }


def test_what_scores_are():
    logits = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(0)) * 3
    torch.testing.assert_close(probabilities(logits), logits.softmax(0))
    prob = logits.softmax(0)
    assert torch.equal(probabilities(prob, logits=False), prob)
    low = logits.sigmoid()  # logits may lie in [0, 1], too
    torch.testing.assert_close(probabilities(low), low.softmax(0))


def test_networks_keep_large_images_whole(make):
    assert make()(noise(20, 700))['predictions'].mask.shape == (20, 700)
    small = make(max_side=100, original_size=False)(noise(150, 200))['predictions']
    assert small.mask.shape == (75, 100)


def test_a_folder_with_results(make, tmp_path):
    Path('photos').mkdir()
    Image.fromarray(noise(20, 30)).save('photos/a.png')
    Path('photos/b.png').write_bytes(b'no picture')
    out = make()('photos', out_dir='out', show_progress=False)
    assert [result.name for result in out['predictions']] == ['a']
    assert list(out['failed']) == ['photos/b.png']
    assert sorted(str(p) for p in Path('out').rglob('*.*')) == [
        'out/cams/a.npz', 'out/pred/a.png', 'out/vis/a.png',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(classes=['cow']), 'classes cannot be said of a trained network'),
        (dict(clip='mini', background=['sky']), 'background, clip cannot be said'),
        (dict(weights='no.pth'), 'checkpoint no.pth does not exist'),
        (dict(weights='config.py'), 'config.py'),
        (dict(weights=None), 'not a config of CLIP-ES.*needs its checkpoint'),
        (dict(model=dict(channels=2), palette=[[0, 0, 0]]), 'the palette has 1 colours for 3'),
        (dict(weights='other.pth'), r'other.pth does not fit the model(.|\n)*weight'),
    ],
)
def test_bad_options(make, options, message):
    torch.save(dict(state_dict=dict(bias=torch.ones(1))), 'other.pth')
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(**options)


def test_other_mistakes(make):
    inferencer = make()
    with pytest.raises(ValueError, match='are those that it was trained for'):
        inferencer.set_classes(['cow'])
    with pytest.raises(ValueError, match="unknown class 'cow'"):
        inferencer(noise(9, 9), ['cow'])
    text = Path('config.py').read_text()
    Path('config.py').write_text(text.replace('LoadImageLabels', 'LoadCAM'))
    with pytest.raises(ValueError, match=r'an earlier stage has made \(mmwsss.LoadCAM\)'):
        make()


def save_untrained(config: str) -> Config:
    cfg = Config.fromfile(ROOT / config)
    init_default_scope('mmseg')
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), 'untrained.pth')
    return cfg


def test_a_classifier_follows_labels_or_its_own(make):
    """A classifier predicts maps of image labels unless there are none."""
    cfg = save_untrained('configs/wsss/cam_mit_mini.py')
    inferencer = WSSSInferencer(cfg, weights='untrained.pth', device='cpu')
    result = inferencer(noise(64, 48), ['boat'])['predictions']
    assert result.label_names == ['boat']
    assert set(np.unique(result.mask)) <= {0, 1}
    assert inferencer(noise(64, 48))['predictions'].mask.shape == (64, 48)
    again = inferencer(noise(64, 48), ['boat'])['predictions']
    assert np.array_equal(again.cams, result.cams)
