"""ACR: the generator, both networks, their steps and optimizers."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from torch import nn

from mmwsss.engine.optimizers import skipping
from mmwsss.models import ACR, UNetGenerator
from mmwsss.models.segmentors import acr
from mmwsss.registry import MODELS, TRANSFORMS
from mmwsss.testing import labelled_samples, training_iteration

CONFIGS = Path(__file__).parents[2] / 'configs'
CROP = 32


def network(**changes) -> ACR:
    """A thousandth of the channels; crops are multiples of 16 pixels."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    cfg = Config.fromfile(CONFIGS / '_base_/models/acr_resnet38.py')
    values = {
        'backbone.base_channels': 1,
        'backbone.init_cfg': None,
        'decode_head.in_channels': 64,
        'decode_head.num_classes': 3,
        'decode_head.mid_channels': 4,
        'reconstructor.in_channels': (8, 16, 64),
        'reconstructor.channels': (2, 3, 4),
        'reconstructor.generator.base_channels': 2,
        'reconstructor.generator.depth': 4,
        'erase_cells': 4,
        **changes,
    }
    cfg.merge_from_dict({f'model.{key}': value for key, value in values.items()})
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model.train()


def optimizers(model: ACR, lr: float = 0.01) -> OptimWrapperDict:
    cfg = Config.fromfile(CONFIGS / '_base_/schedules/sgd_poly_acr.py').optim_wrapper
    cfg.optimizer.lr = lr
    return build_optim_wrapper(model, cfg)


def batch(*labels) -> dict:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (len(labels), 3, CROP, CROP), generator=generator)
    samples = labelled_samples(*labels, num_classes=3, size=(CROP, CROP))
    return dict(inputs=list(images.to(torch.uint8)), data_samples=samples)


def prepared(model: ACR, *labels) -> tuple[torch.Tensor, torch.Tensor]:
    data = model.data_preprocessor(batch(*labels), True)
    hot = torch.stack([sample.gt_image_labels.label for sample in data['data_samples']])
    return data['inputs'], hot


# ---------------------------------------------------------------------------------------------
# the generator


def test_generator_has_the_official_layers():
    net = UNetGenerator(448)
    down = [tuple(layer[0].weight.shape[:2]) for layer in net.downs]
    up = [tuple(layer[0].weight.shape[:2]) for layer in net.ups]
    assert down == [(64, 448), (128, 64), (256, 128), (512, 256), *[(512, 512)] * 4]
    assert up == [(512, 512), *[(1024, 512)] * 3, (1024, 256), (512, 128), (256, 64)]
    assert tuple(net.final[1].weight.shape) == (3, 128, 3, 3)
    normed = [any(isinstance(m, nn.InstanceNorm2d) for m in layer) for layer in net.downs]
    assert normed == [False, *[True] * 6, False]
    rates = [next(m.p for m in layer if isinstance(m, nn.Dropout)) for layer in net.downs]
    assert rates == [0, 0, 0, *[0.5] * 5]
    rates = [next(m.p for m in layer if isinstance(m, nn.Dropout)) for layer in net.ups]
    assert rates == [*[0.5] * 4, 0, 0, 0]


def test_crops_that_the_depth_does_not_divide_are_refused():
    net = UNetGenerator(3, base_channels=2, depth=3).eval()
    assert net(torch.rand(1, 3, 16, 40)).shape == (1, 3, 16, 40)
    with pytest.raises(ValueError, match=r'multiples of 8, got 16 x 36.*crop_size'):
        net(torch.rand(1, 3, 16, 36))
    with pytest.raises(ValueError, match='depth must be'):
        UNetGenerator(3, depth=1)
    model = network(**{'reconstructor.generator.depth': 6})
    with pytest.raises(ValueError, match=r'multiples of 64, got 32 x 32'):
        model.train_step(batch((0,), (1,)), optimizers(model))


def test_images_are_painted_one_by_one():
    """Its norms are of each image, so that a batch may be cut anywhere."""
    net = UNetGenerator(3, base_channels=2, depth=3).eval()
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(net(images)[1:], net(images[1:]))


def test_painting_with_constant_weights():
    model = network()
    features = torch.rand(2, 9, CROP, CROP).requires_grad_()
    with acr.evaluating(model.reconstructor):
        painted = model.reconstructor.paint(features)
        torch.testing.assert_close(painted, model.reconstructor.generator(features))
        painted.sum().backward()
    assert features.grad.any()
    assert all(p.grad is None for p in model.reconstructor.parameters())


# ---------------------------------------------------------------------------------------------
# what is trained, and how


def test_parameter_groups():
    model = network()
    wrappers = optimizers(model)
    assert sorted(wrappers.keys()) == ['classifier', 'reconstructor']
    for name, wrapper in wrappers.items():
        child = getattr(model, name)
        transposed = {id(m.weight) for m in child.modules() if isinstance(m, nn.ConvTranspose2d)}
        biases = {id(p) for n, p in child.named_parameters() if n.endswith('bias')}
        assert bool(transposed) == (name == 'reconstructor')
        for group in wrapper.param_groups:
            (parameter,) = group['params']
            if not parameter.requires_grad:
                continue
            bias = id(parameter) in biases
            factor = 10 if id(parameter) in transposed else 2 if bias else 1
            assert group['lr'] == pytest.approx(0.01 * factor)
            assert group['weight_decay'] == (0 if bias else 5e-4)
            assert group['momentum'] == 5e-4
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(p.requires_grad for m in norms for p in m.parameters())
    assert model.classifier.backbone.conv1a.weight.requires_grad  # nothing else is frozen


def test_dropout_of_the_networks():
    model = network()
    rates = {m.p for m in model.modules() if isinstance(m, nn.Dropout2d)}
    assert rates == {0.0, 0.2}  # 0: before the classifiers
    for net in (model.classifier, model.reconstructor):
        assert net.backbone.b6.dropout.p == net.backbone.b7.dropout.p == 0.2


@pytest.mark.parametrize('step', ['reconstructor', 'classifier'])
def test_only_the_network_that_learns_drops(step, monkeypatch):
    model, seen = network(), {}

    def watch(name, module):
        forward = module.forward

        def watched(*args):
            seen.setdefault(name, []).append((module.training, torch.is_grad_enabled()))
            return forward(*args)

        monkeypatch.setattr(module, 'forward', watched)

    watch('classifier', model.classifier.backbone)
    watch('reconstructor', model.reconstructor.backbone)
    watch('generator', model.reconstructor.generator)
    inputs, labels = prepared(model, (0,), (1, 2))
    targets, draws = model.draw(labels)
    if step == 'reconstructor':
        model.reconstructor_losses(inputs, labels, targets, draws)
        expected = dict(classifier=[(False, False)], reconstructor=[(True, True)])
        expected['generator'] = [(True, True)] * 3
    else:
        model.classifier_losses(inputs, labels, targets)
        expected = dict(classifier=[(True, True)], reconstructor=[(False, False)])
        expected['generator'] = [(False, True)] * 2
    assert seen == expected
    assert model.classifier.backbone.training and model.reconstructor.backbone.training


def test_augmentation_keeps_colours_and_pads_with_the_mean():
    """As the official order: resize, flip, normalise, crop with zeros around."""
    cfg = Config.fromfile(CONFIGS / 'wsss/acr_voc_cam.py')
    transforms = cfg.train_dataloader.dataset.pipeline
    names = [t.type.removeprefix('mmwsss.') for t in transforms]
    assert names[2:5] == ['RandomResizeLong', 'RandomFlip', 'RandomPadCrop']
    assert not any('Jitter' in name for name in names)
    resize, _, crop = (TRANSFORMS.build(t) for t in transforms[2:5])
    sides, pixels = set(), set()
    set_random_seed(0)
    for _ in range(60):
        image = np.full((100, 200, 3), 200, np.uint8)
        results = resize(dict(img=image, img_shape=image.shape[:2]))
        sides.add(max(results['img_shape']))
        assert min(results['img_shape']) == round(max(results['img_shape']) / 2)
        cropped = crop(results)['img']
        assert cropped.shape[:2] == (256, 256)
        pixels |= {tuple(np.round(p, 2)) for p in cropped.reshape(-1, 3).tolist()}
    assert min(sides) >= 384 and max(sides) <= 512 and len(sides) > 20
    mean = {(103.53, 116.28, 123.68), (104.0, 116.0, 124.0)}
    assert (200.0, 200.0, 200.0) in pixels and len(pixels) == 2 and pixels & mean
    assert cfg.train_cfg.max_iters == 10582 // 8 * 40


def test_targets_are_classes_of_their_images():
    model = network()
    labels = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 0]])
    torch.manual_seed(0)
    drawn = [model.draw(labels) for _ in range(200)]
    targets = torch.stack([t for t, _ in drawn])
    assert targets[:, 1].unique().tolist() == [1] and targets[:, 2].unique().tolist() == [-1]
    assert set(targets[:, 0].tolist()) == {0, 2}
    assert 60 < (targets[:, 0] == 0).sum() < 140
    grids = torch.stack([g for _, g in drawn])
    assert grids.shape == (200, 3, 1, 4, 4) and grids.min() == 0 and grids.max() == 99


def test_the_hidden_share_grows_by_a_percent():
    model = network(erase_percent=30, erase_growth_iters=5)
    with training_iteration() as at:
        for iteration, share in ((0, 30), (4, 30), (5, 31), (5 * 69, 99), (5 * 200, 230)):
            at(iteration)
            assert model.erased_share == share


# ---------------------------------------------------------------------------------------------
# a step


def test_the_classifier_meets_the_reconstructor_that_was_updated(monkeypatch):
    model = network(**{'backbone.dropout': (0.0, 0.0)})
    other, wrappers = copy.deepcopy(model), optimizers(model)
    data = batch((0,), (1, 2))
    drawn = model.draw(prepared(model, (0,), (1, 2))[1])
    monkeypatch.setattr(ACR, 'draw', lambda self, labels: drawn)
    for net in (model, other):
        for module in net.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    logged = model.train_step(data, wrappers)

    steps = optimizers(other)
    inputs, labels = prepared(other, (0,), (1, 2))
    first = other.reconstructor_losses(inputs, labels, *drawn)
    stale = other.classifier_losses(inputs, labels, drawn[0])
    sum(first.values()).backward()
    assert all(p.grad is None for p in other.classifier.parameters())
    steps['reconstructor'].step()
    steps['reconstructor'].zero_grad()
    second = other.classifier_losses(inputs, labels, drawn[0])
    sum(second.values()).backward()
    assert all(p.grad is None for p in other.reconstructor.parameters())
    steps['classifier'].step()
    for name, value in {**first, **second}.items():
        assert logged[name].item() == pytest.approx(value.item(), rel=1e-5), name
    total = sum(first.values()) + sum(second.values())
    assert logged['loss'].item() == pytest.approx(total.item(), rel=1e-5)
    assert stale['loss_target'].item() != second['loss_target'].item()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], weight, msg=name)
    moved = [n for n, w in network(**{'backbone.dropout': (0.0, 0.0)}).state_dict().items()
             if not torch.equal(w, model.state_dict()[n])]  # fmt: skip
    assert {name.split('.')[0] for name in moved} == {'classifier', 'reconstructor'}


def test_images_without_labels():
    """They are classified, and rebuilt where cells of all of them are hidden; no target errors."""
    model = network()
    inputs, labels = prepared(model, (), ())
    targets, draws = model.draw(labels)
    first = model.reconstructor_losses(inputs, labels, targets, draws)
    second = model.classifier_losses(inputs, labels, targets)
    assert first['loss_recon_target'] == 0 and first['loss_recon_rest'] > 0
    assert second['loss_target'] == 0 and second['loss_rest'] == 0
    assert second['loss_cls'] > 0
    logged = model.train_step(batch((), ()), optimizers(model))
    assert all(value.isfinite() for value in logged.values())

    mixed = model.classifier_losses(*prepared(model, (1,), ()), torch.tensor([1, -1]))
    model.eval()
    mixed = model.classifier_losses(*prepared(model, (1,), ()), torch.tensor([1, -1]))
    alone = model.classifier_losses(*prepared(model, (1,)), torch.tensor([1]))
    assert mixed['loss_target'].item() == pytest.approx(alone['loss_target'].item(), rel=1e-4)


def test_a_step_that_is_not_finite_is_left_out_for_its_network_alone(monkeypatch):
    model = network()
    wrappers, said = optimizers(model), []
    monkeypatch.setattr(skipping, 'print_log', lambda message, *_: said.append(message))
    before = copy.deepcopy(model.state_dict())
    poison = ACR.classifier_losses

    def losses(self, *args):
        found = poison(self, *args)
        return {**found, 'loss_rest': found['loss_rest'] + float('nan')}

    monkeypatch.setattr(ACR, 'classifier_losses', losses)
    with training_iteration() as at:
        at(7)
        model.train_step(batch((0,), (1,)), wrappers)
    assert said == ['iteration 8: the loss is nan; this step is skipped']
    after = model.state_dict()
    changed = {name.split('.')[0] for name in after if not torch.equal(after[name], before[name])}
    assert changed == {'reconstructor'}
    assert all(p.grad is None for p in model.classifier.parameters())


def test_one_optimizer_is_refused():
    model = network()
    one = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(TypeError, match=r"constructor='mmwsss\.SeparateOptimWrapperConstructor'"):
        model.train_step(batch((0,), (1,)), one)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(loss_weights=dict(recon_ful=1.0)), "did you mean 'recon_full'"),
        (dict(loss_weights=dict(target=-1.0)), r'loss_weights\.target must be'),
        (dict(erase_cells=0), 'erase_cells must be'),
        (dict(erase_percent=101), 'erase_percent must be'),
        (dict(erase_growth_iters=0), 'erase_growth_iters must be'),
        ({'reconstructor.channels': (1, 2)}, 'one value for every map'),
    ],
)
def test_arguments_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        network(**wrong)


# ---------------------------------------------------------------------------------------------
# maps


def test_maps_are_those_of_the_classifier_merged_as_officially():
    """Sum of views at the size of the image, relu behind the resizing, then scaled."""
    model = network(**{'test_cfg.scales': (1.0,)}).eval()
    data = batch((0, 2), ())
    with torch.no_grad():
        sample, empty = model.test_step(data)
        inputs = model.data_preprocessor(batch((0, 2), ()), False)['inputs'][:1]
        total = 0
        for mirror in (False, True):
            maps = model.classifier(inputs.flip(-1) if mirror else inputs)
            large = nn.functional.interpolate(maps, (CROP, CROP), mode='bilinear').relu()
            total = total + (large.flip(-1) if mirror else large)
    total = total[0, [0, 2]]
    low, high = total.amin((1, 2), True), total.amax((1, 2), True)
    expected = (total - low - 1e-5).relu() / (high - low + 1e-5)
    torch.testing.assert_close(sample.pred_cam.cam, expected, atol=1e-5, rtol=1e-4)
    assert sample.pred_cam.labels.tolist() == [0, 2]
    assert empty.pred_cam.cam.shape == (0, CROP, CROP) and not empty.pred_sem_seg.data.any()


def test_masks_of_the_maps_are_decided_by_the_background():
    model = network(**{'test_cfg.scales': (1.0,), 'test_cfg.background': 0.4}).eval()
    with torch.no_grad():
        (sample,) = model.test_step(batch((0, 2)))
    best, index = sample.pred_cam.cam.max(0)
    expected = torch.where(best > 0.4, torch.tensor([1, 3])[index], 0)
    assert torch.equal(sample.pred_pseudo_mask.data[0], expected)
    with pytest.raises(ValueError, match=r'test_cfg\.merge must be one of'):
        network(**{'test_cfg.merge': 'acrs'})
