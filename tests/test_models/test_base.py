"""Test settings, sizes and views that every segmentor inherits."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.structures import SegDataSample

from mmwsss.models import CLIPSegmentor, TestSettings, WeakCLIP, WSSSSegmentor
from mmwsss.models.segmentors.afa import AFASettings
from mmwsss.ops.pairs import pack_pairs
from mmwsss.registry import MODELS
from mmwsss.structures import Maps, supervised_label
from mmwsss.testing import labelled_sample, multi_hot, smooth_pixels

NORM = dict(type='SegDataPreProcessor', mean=[100.0] * 3, std=[50.0] * 3)


class Threshold(WSSSSegmentor):
    """Class k where channel k is above the mean; maps are the channels."""

    num_foreground = 2

    def encode_decode(self, inputs, batch_data_samples=None):
        channels = F.avg_pool2d(inputs, 2)
        return torch.cat([torch.zeros_like(channels[:, :1]), channels[:, :2]], dim=1)

    def predict_maps(self, inputs, image_labels):
        image, label = image_labels.nonzero(as_tuple=True)
        maps = F.avg_pool2d(inputs, 2).sigmoid()[image, label]
        return Maps(*pack_pairs(maps, label, image, len(inputs)))

    def loss(self, inputs, data_samples):
        raise NotImplementedError


def segmentor(**test_cfg) -> Threshold:
    init_default_scope('mmseg')
    return Threshold({}, test_cfg=test_cfg, data_preprocessor=NORM).eval()


def pixels(height: int = 24, width: int = 32, seed: int = 0) -> torch.Tensor:
    return smooth_pixels(height, width, seed)


def sample(*labels: int, **meta) -> SegDataSample:
    return labelled_sample(multi_hot(labels, num_classes=2)[0], **meta)


@pytest.mark.parametrize(
    ('test_cfg', 'message'),
    [
        (dict(scale=[1.0]), r"key of test_cfg of Threshold.*'scale'; did you mean 'scales'"),
        (dict(flips=True), "did you mean 'flip'"),
        (dict(crff=None), "did you mean 'crf'"),
        (dict(long_sides=3), "did you mean 'long_side'"),
        (dict(mode='cam'), "test_cfg.mode is now test_cfg.predict: say predict='cam'"),
        (dict(mode='whole'), "belong to mmseg's EncoderDecoder"),
        (dict(cam='gradcam'), "test_cfg.cam is now test_cfg.maps: say maps='plain'"),
        (dict(cam='refined'), "say maps='refined'"),
        (dict(predict='masks'), 'predict must be one of seg, cam'),
        (dict(maps='gradcam'), 'maps must be one of refined, plain'),
        (dict(with_cam=1), 'with_cam must be True or False'),
        (dict(flip='yes'), 'flip must be True or False'),
        (dict(scales=()), 'scales must be a list'),
        (dict(scales=1.0), 'scales must be a list'),
        (dict(scales=[1.0, 0.0]), 'scales must be a number in'),
        (dict(scales=[float('nan')]), 'scales must be a number in'),
        (dict(scales=[1.0, None]), 'scales must be a list'),
        (dict(scales=['1']), 'scales must be a number in'),
        (dict(sizes=[32.5]), 'sizes must be a whole number'),
        (dict(sizes=[32], scales=[0.5]), 'takes the place of scales'),
        (dict(long_side=0), 'long_side must be a whole number'),
        (dict(resize='cubic'), 'resize must be one of'),
        (dict(merge='logit_sum'), 'merge must be one of logit_mean'),
        (dict(crf='afa'), r'crf must be like dict\(preset='),
        (dict(crf=dict(preset='psaa')), "no CRF preset 'psaa'"),
        (dict(crf=dict(iteration=3)), "no parameter 'iteration'"),
        (dict(crf=dict(image='grey')), r'crf\.image must be one of true'),
        (dict(predict='cam', scales=[0.5, 1.0]), r"scales .*are for predict='seg'"),
        (dict(predict='cam', crf={}), r"crf .*are for predict='seg'"),
    ],
)
def test_wrong_settings_are_refused_when_the_model_is_built(test_cfg, message):
    with pytest.raises(ValueError, match=message):
        segmentor(**test_cfg)


def test_a_test_cfg_that_is_no_dict():
    with pytest.raises(ValueError, match='must be a dict'):
        segmentor().test_cfg = ['seg']


def test_settings_are_read_only_and_can_be_assigned():
    model = segmentor(scales=[1.0, 0.5])
    assert dict(model.test_cfg) == dict(scales=[1.0, 0.5])
    assert model.settings == TestSettings(scales=(1.0, 0.5))
    with pytest.raises(TypeError):
        model.test_cfg['flip'] = True
    with pytest.raises(ValueError, match='flips'):
        model.test_cfg = dict(flips=True)
    assert dict(model.test_cfg) == dict(scales=[1.0, 0.5])
    model.test_cfg = ConfigDict(dict(model.test_cfg), flip=True, crf=dict(preset='psa'))
    assert model.settings.flip and model.settings.crf == dict(preset='psa')
    model.test_cfg = None
    assert model.settings == TestSettings() and not model.test_cfg


def test_a_model_can_be_copied_and_pickled():
    model = segmentor(flip=True)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.settings == model.settings


def test_train_cfg_and_pretrained_are_not_ignored():
    Threshold({}, train_cfg={}, pretrained=None)
    with pytest.raises(ValueError, match=r'takes pretrained weights from backbone\.init_cfg'):
        Threshold({}, pretrained='resnet.pth')


@torch.no_grad()
@pytest.mark.parametrize('predict', ['seg', 'cam'])
def test_a_batch_of_several_sizes_is_each_image_alone(predict):
    model = segmentor(predict=predict, with_cam=True)
    images = [pixels(24, 32), pixels(20, 28, 1), pixels(24, 32, 2)]
    together = model.test_step(
        dict(inputs=images, data_samples=[sample(0), sample(0, 1), sample()])
    )
    for image, labels, found in zip(images, [(0,), (0, 1), ()], together, strict=True):
        (alone,) = model.test_step(dict(inputs=[image], data_samples=[sample(*labels)]))
        assert found.pred_sem_seg.data.shape == (1, *image.shape[-2:])
        assert torch.equal(found.pred_sem_seg.data, alone.pred_sem_seg.data)
        torch.testing.assert_close(found.pred_cam.cam, alone.pred_cam.cam)
        assert torch.equal(found.pred_pseudo_mask.data, alone.pred_pseudo_mask.data)


@torch.no_grad()
def test_only_samples_with_labels_get_maps():
    images, samples = [pixels(24, 32), pixels(24, 32, 1)], [sample(0), SegDataSample()]
    model = segmentor(with_cam=True)
    labelled, bare = model.test_step(dict(inputs=images, data_samples=samples))
    assert 'pred_cam' in labelled and 'pred_cam' not in bare
    assert bare.pred_sem_seg.data.shape == (1, 24, 32)


@torch.no_grad()
def test_padding_and_mirroring_are_undone_for_maps_as_for_masks():
    image = pixels(24, 32)
    model = segmentor(with_cam=True)
    (plain,) = model.test_step(dict(inputs=[image], data_samples=[sample(0, 1)]))
    padded = F.pad(image, (4, 8, 2, 6)).flip(-1)
    meta = dict(ori_shape=(24, 32), img_padding_size=(8, 4, 2, 6), flip=True,
                flip_direction='horizontal')  # fmt: skip
    (found,) = model.test_step(dict(inputs=[padded], data_samples=[sample(0, 1, **meta)]))
    inner = (slice(None), slice(2, -2), slice(2, -2))  # the border is interpolated with padding
    assert torch.equal(found.pred_sem_seg.data[inner], plain.pred_sem_seg.data[inner])
    torch.testing.assert_close(found.pred_cam.cam[inner], plain.pred_cam.cam[inner])
    expected = plain.pred_pseudo_mask.data[inner]
    assert torch.equal(found.pred_pseudo_mask.data[inner], expected)


@torch.no_grad()
def test_pair_means_and_maxima_are_a_setting():
    model = segmentor(scales=(0.5, 1.0), flip=True, merge='logit_pair_max')
    inputs = torch.randn(1, 3, 24, 32)
    assert AFASettings().merge == 'logit_pair_max'
    views = []
    for view in (inputs, F.interpolate(inputs, scale_factor=0.5, mode='bilinear')):
        pair = model.encode_decode(view) + model.encode_decode(view.flip(-1)).flip(-1)
        views.append(F.interpolate(pair / 2, size=(12, 16), mode='bilinear'))
    torch.testing.assert_close(model.merged_logits(inputs), torch.maximum(*views))


def test_crf_of_probabilities_and_of_logits():
    pair = torch.randn(1, 3, 24, 32)
    scores = {}
    for merge in ('logit_mean', 'prob_mean'):
        model = segmentor(merge=merge, crf=dict(iterations=1))
        scores[merge] = model.seg_scores(pair)
    logits = F.interpolate(segmentor().merged_logits(pair), (24, 32), mode='bilinear')
    expected = segmentor(crf=dict(iterations=1)).refine_scores(pair, logits.softmax(1), True)
    torch.testing.assert_close(scores['logit_mean'], expected)
    assert (scores['prob_mean'] - expected).abs().mean() < 0.05


def test_empty_crf_is_the_default_crf():
    inputs = torch.randn(1, 3, 24, 32)
    total = segmentor(crf={}).seg_scores(inputs).sum(1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-4, rtol=0)


def test_networks_without_maps_say_so():
    for kind in (CLIPSegmentor, WeakCLIP):
        with pytest.raises(ValueError, match=r'predict must be one of seg, got .cam.'):
            kind.settings_type.parse(dict(predict='cam'), kind.__name__)
        assert kind.settings_type.parse(dict(with_cam=True), kind.__name__).with_cam


def test_true_masks_are_asked_for():
    with pytest.raises(ValueError, match='LoadAnnotations'):
        supervised_label([SegDataSample()])


def test_every_segmentor_of_the_registry_names_its_settings():
    ours = {
        name: kind
        for name, kind in MODELS.module_dict.items()
        if isinstance(kind, type) and issubclass(kind, WSSSSegmentor)
    }
    assert {'WeCLIP', 'AFA', 'OneStage', 'CAMClassifier', 'CLIPES', 'AffinityNet'} <= set(ours)
    for kind in ours.values():
        settings = kind.settings_type()
        assert set(kind.settings_type.seg_only) <= set(kind.settings_type.keys())
        assert settings.predict in settings.predict_choices
