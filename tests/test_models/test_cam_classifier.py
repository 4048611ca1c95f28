"""The classifier, its maps and its optimizer."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmwsss.converters.psa import convert_psa
from mmwsss.models import CAMClassifier, CAMHead
from mmwsss.registry import MODELS
from mmwsss.testing import labelled_samples, noise

TESTS = Path(__file__).parents[1]
SIZE = (40, 56)
NORM = dict(mean=[123.675, 116.28, 103.53], std=[58.4, 57.1, 57.4])


def classifier(**test_cfg) -> CAMClassifier:
    torch.manual_seed(0)
    model = CAMClassifier(
        backbone=dict(type='mmwsss.ResNet38d', base_channels=1, frozen_stages=-1),
        decode_head=dict(type='mmwsss.CAMHead', in_channels=64, num_classes=3),
        data_preprocessor=dict(type='SegDataPreProcessor', **NORM),
        test_cfg=test_cfg,
    )
    model.init_weights()
    return model.eval()


def pictures(number: int = 2) -> torch.Tensor:
    return noise(number, SIZE, **NORM)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def test_logits_are_the_mean_of_the_linear_map():
    head = CAMHead(5, 3).eval()
    feature = torch.rand(2, 5, 4, 6)
    raw = torch.einsum('kc,bchw->bkhw', head.classifier.weight[:, :, 0, 0], feature)
    torch.testing.assert_close(head((feature,)), raw.mean((2, 3)))
    torch.testing.assert_close(head.cam((feature,)), raw.relu())
    head.power = 0.5
    torch.testing.assert_close(head.cam((feature,)), raw.relu().sqrt())
    head.pool = 'max'
    largest = torch.einsum('kc,bc->bk', head.classifier.weight[:, :, 0, 0], feature.amax((2, 3)))
    torch.testing.assert_close(head((feature,)), largest)


def test_reduced_features():
    """ACR: two convolutions with a ReLU in between; the logits are the means of the maps."""
    head = CAMHead(5, 3, mid_channels=4).eval()
    assert set(head.state_dict()) == {'reduction.weight', 'classifier.weight'}
    features = torch.randn(2, 5, 6, 7)
    hidden = torch.einsum('bchw,mc->bmhw', features, head.reduction.weight[..., 0, 0]).relu()
    maps = torch.einsum('bmhw,km->bkhw', hidden, head.classifier.weight[..., 0, 0])
    torch.testing.assert_close(head.scores([features]), maps)
    torch.testing.assert_close(head([features]), maps.mean((2, 3)))


def test_dropout_drops_whole_channels():
    head = CAMHead(64, 64, dropout_ratio=0.5).train()
    head.classifier.weight.data[:] = torch.eye(64)[:, :, None, None]
    logits = head((torch.ones(1, 64, 3, 3),))
    assert set(logits.flatten().tolist()) == {0.0, 2.0}


def test_loss_is_the_mean_binary_cross_entropy():
    model = classifier()
    data_samples = labelled_samples((0,), (1, 2))
    loss = model.loss(pictures(), data_samples)['loss_cls']
    logits = model.decode_head(model.extract_feat(pictures()))
    target = torch.tensor([[1.0, 0, 0], [0, 1, 1]])
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, target))


@torch.no_grad()
def test_maps_of_the_image_labels():
    model = classifier(scales=(1.0, 0.5, 1.5), flip=True, background=0.3)
    found = model.predict(pictures(), labelled_samples((2, 0), ()))
    cam, labels = found[0].pred_cam.cam, found[0].pred_cam.labels
    assert labels.tolist() == [0, 2] and cam.shape == (2, *SIZE)
    assert cam.min() >= 0 and 0.99 < cam.amax() <= 1
    best, index = cam.max(0)
    expected = torch.where(best > 0.3, torch.tensor([1, 3])[index], 0)
    assert torch.equal(found[0].pred_sem_seg.data[0], expected)
    assert found[1].pred_cam.cam.shape == (0, *SIZE)
    assert (found[1].pred_sem_seg.data == 0).all()


@torch.no_grad()
def test_maps_do_not_depend_on_the_batch_and_mirror_with_the_image():
    model = classifier(scales=(1.0, 2.0), flip=True)
    images, data_samples = pictures(), labelled_samples((0, 1), (1,))
    whole = model.predict(images, data_samples)
    for i in range(2):
        alone = model.predict(images[i : i + 1], labelled_samples(((0, 1), (1,))[i]))[0]
        torch.testing.assert_close(alone.pred_cam.cam, whole[i].pred_cam.cam, atol=1e-4, rtol=1e-4)
    mirrored = model.predict(images.flip(-1), labelled_samples((0, 1), (1,)))
    torch.testing.assert_close(
        mirrored[0].pred_cam.cam.flip(-1), whole[0].pred_cam.cam, atol=1e-3, rtol=1e-3
    )


@torch.no_grad()
def test_power_background():
    model = classifier(power=2.0)
    found = model.predict(pictures(1), labelled_samples((0, 1)))[0]
    cam = found.pred_cam.cam
    scores = torch.cat([(1 - cam.amax(0, keepdim=True)) ** 2, cam])
    assert torch.equal(found.pred_sem_seg.data[0], scores.argmax(0))


@torch.no_grad()
def test_seg_mode_never_looks_at_image_labels():
    model = classifier(predict='seg')
    with_labels = model.predict(pictures(), labelled_samples((0,), (1, 2)))
    without = model.predict(pictures())
    found = model.decode_head(model.extract_feat(pictures())).sigmoid() > 0.5
    model.test_cfg = {}
    by_labels = labelled_samples(*(tuple(hot.nonzero().flatten().tolist()) for hot in found))
    expected = model.predict(pictures(), by_labels)
    assert found.any()
    for a, b, c in zip(with_labels, without, expected, strict=True):
        assert 'pred_cam' not in a
        assert torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)
        assert torch.equal(a.pred_sem_seg.data, c.pred_sem_seg.data)


@torch.no_grad()
def test_crf_of_the_classes_that_are_found():
    model = classifier(predict='seg', crf=dict(preset='psa'))
    for sample in model.predict(pictures()):
        total = sample.seg_logits.data.sum(0)
        torch.testing.assert_close(total, torch.ones_like(total), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match=r"crf .*are for predict='seg'"):
        classifier(crf=dict(preset='psa'))


@torch.no_grad()
def test_square_views_and_strided_maps_end_at_the_size_of_the_image():
    for settings in (dict(sizes=(32, 48)), dict(merge='irn_strided')):
        model = classifier(flip=True, **settings)
        found = model.predict(pictures(1), labelled_samples((0, 2)))[0]
        assert found.pred_cam.cam.shape == (2, *SIZE)
        assert found.pred_sem_seg.data.shape == (1, *SIZE)


def test_maps_have_the_original_size():
    data_samples = labelled_samples((0,), size=(30, 42))
    found = classifier().predict(pictures(1), data_samples)[0]
    assert found.pred_cam.cam.shape[1:] == found.pred_sem_seg.data.shape[1:] == (30, 42)


def test_bad_arguments():
    with pytest.raises(ValueError, match="did you mean 'cam'"):
        classifier(predict='cams')
    with pytest.raises(ValueError, match='pool'):
        CAMHead(4, 2, pool='sum')
    with pytest.raises(ValueError, match='without image labels'):
        classifier().predict(pictures())


@pytest.mark.parametrize(
    ('name', 'case'), [('psa_voc_cam', 'resnet38'), ('psa_voc_cam_vgg16', 'vgg16')]
)
def test_rates_and_decays_of_the_shipped_optimizer(name, case):
    """Weights 1x, biases 2x and head weights 10x; no decay of biases; the rest is frozen."""
    cfg = Config.fromfile(TESTS.parent / f'configs/wsss/{name}.py')
    groups = json.loads((TESTS / f'golden/psa/train_step_{case}_cls.groups.json').read_text())
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    base = cfg.optim_wrapper.optimizer
    assert base.momentum == base.weight_decay == 5e-4
    names = {id(p): name for name, p in model.named_parameters()}
    ours = {
        names[id(group['params'][0])]: (round(group['lr'] / base.lr, 6), group['weight_decay'])
        for group in optimizer.param_groups
        if group['params'][0].requires_grad
    }
    expected = {}
    for index, multiple, decay in (('0', 1, 5e-4), ('1', 2, 0), ('2', 10, 5e-4), ('3', 20, 0)):
        for key in convert_psa(dict.fromkeys(groups['group_names'][index])):
            expected[key] = (multiple, decay)
    assert ours == expected
