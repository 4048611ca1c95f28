import pytest
import torch

from mmwsss.models.backbones.clip_vit import CLIPRequest
from mmwsss.ops.pseudo_label import add_background, decide
from mmwsss.testing import labelled_samples, tiny_clip_state

from .conftest import tiny_weclip


def test_a_step_trains_the_decoder_only(model, images):
    losses = model.train().loss(images, labelled_samples((0,), (1, 2), ()))
    sum(losses.values()).backward()
    assert set(losses) == {'loss_seg', 'loss_affinity'}
    assert all(torch.isfinite(v) for v in losses.values())
    trained = {k for k, p in model.named_parameters() if p.grad is not None}
    assert trained == {k for k, _ in model.named_parameters() if k.startswith('decode_head.')}
    assert model.decode_head.training and not model.backbone.visual.training


def test_images_without_classes_are_background(model, images):
    features = model.backbone.encode(images, CLIPRequest(attn=3))
    _, affinity = model.decode_head(features.tokens, features.grid)
    labels = torch.zeros(3, 3)
    labels[1, 2] = 1
    plain, refined = model.make_cams(features, affinity, labels, gated=True)
    cams, classes, pseudo = model.make_pseudo_label(images, refined, (40, 56))
    assert plain.maps.shape == (1, 5, 7) and cams.shape == (3, 1, 40, 56)
    assert classes.tolist() == [[-1], [2], [-1]]
    assert (pseudo[[0, 2]] == 0).all() and set(pseudo[1].unique().tolist()) <= {0, 3}
    losses = model.loss(images, labelled_samples((), (), ()))
    assert all(torch.isfinite(v) for v in losses.values())


def test_pairs_do_not_depend_on_the_rest_of_the_batch(model, images):
    model.eval()

    def pseudo(index, labels):
        batch = images[index]
        features = model.backbone.encode(batch, CLIPRequest(attn=3))
        _, affinity = model.decode_head(features.tokens, features.grid)
        _, refined = model.make_cams(features, affinity, labels, gated=True)
        return refined.maps, model.make_pseudo_label(batch, refined, (40, 56)).label

    labels = torch.tensor([[1.0, 0, 0], [1, 1, 1], [0, 1, 0]])
    maps, label = pseudo([0, 1, 2], labels)
    alone, alone_label = pseudo([1], labels[1:2])
    torch.testing.assert_close(maps[1:4], alone, rtol=1e-3, atol=1e-6)
    assert (label[1] == alone_label[0]).float().mean() > 0.99


def test_phase_follows_the_training_iteration(model, images, monkeypatch, at):
    model.refiner.gated_start = 10
    seen = []
    original = model.refiner.affinity
    monkeypatch.setattr(
        model.refiner,
        'affinity',
        lambda attn, a, gated: seen.append(gated) or original(attn, a, gated),
    )
    for iteration in (9, 10):
        at(iteration)
        model.loss(images, labelled_samples((0,), (1,), (2,)))
    assert seen == [False, True]


def test_seg_mode_never_uses_image_labels(model, images):
    model.eval().test_cfg = dict(predict='seg', with_cam=True)
    first = model.predict(images, labelled_samples((0,), (1,), (2,)))
    second = model.predict(images, labelled_samples((1, 2), (0,), ()))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)
    assert first[0].pred_cam.labels.tolist() == [0]
    assert second[0].pred_cam.cam.shape == (2, 40, 56)
    assert second[2].pred_cam.cam.shape == (0, 40, 56)
    assert (second[2].pred_pseudo_mask.data == 0).all()


def test_cam_mode_predicts_the_pseudo_mask(model, images):
    model.eval().test_cfg = dict(predict='cam', long_side=64)
    result = model.predict(images, labelled_samples((0,), (1, 2), ()))
    allowed = ({0, 1}, {0, 2, 3}, {0})
    for sample, classes in zip(result, allowed, strict=True):
        assert set(sample.pred_sem_seg.data.unique().tolist()) <= classes
        assert sample.pred_cam.cam.min() >= 0 if len(sample.pred_cam.labels) else True
    assert result[0].pred_sem_seg is result[0].pred_pseudo_mask
    model.test_cfg = dict(model.test_cfg, maps='plain')
    plain = model.predict(images, labelled_samples((0,), (1, 2), ()))
    assert not torch.equal(plain[0].pred_cam.cam, result[0].pred_cam.cam)
    assert not torch.equal(plain[0].pred_pseudo_mask.data, result[0].pred_pseudo_mask.data)


def test_plain_maps_decide_the_plain_pseudo_mask(model, images):
    model.eval().test_cfg = dict(predict='cam', maps='plain')
    labels = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0]])
    maps = model.predict_maps(images, labels)
    scores = model.par(images, add_background(maps.cams))
    assert torch.equal(maps.label, decide(scores, maps.classes))
    assert maps.classes.tolist() == [[0, -1], [1, 2], [-1, -1]]


def test_multi_scale_and_flip_on_odd_sizes(model):
    model.eval().test_cfg = dict(predict='seg', long_side=61, scales=(1.0, 0.75), flip=True)
    image = torch.randn(1, 3, 37, 50)
    (sample,) = model.predict(image, labelled_samples((0,), size=(37, 50)))
    assert sample.seg_logits.data.shape == (4, 37, 50)
    mirrored = model.predict(image.flip(-1), labelled_samples((0,), size=(37, 50)))[0]
    # exact mirror symmetry needs sizes that the patches divide; these do not
    model.test_cfg = dict(model.test_cfg, long_side=64, scales=(1.0,))
    even = torch.randn(1, 3, 32, 64)
    a = model.predict(even, labelled_samples((0,), size=(32, 64)))[0].seg_logits.data
    b = model.predict(even.flip(-1), labelled_samples((0,), size=(32, 64)))[0].seg_logits.data
    torch.testing.assert_close(a, b.flip(-1), rtol=1e-3, atol=1e-4)
    assert mirrored.pred_sem_seg.data.shape == (1, 37, 50)


def test_crf_sharpens_at_test_time(model, images):
    from mmseg.models import SegDataPreProcessor

    model.data_preprocessor = SegDataPreProcessor(mean=[120.0] * 3, std=[58.0] * 3)
    model.eval().test_cfg = dict(predict='seg', crf=dict(iterations=2))
    for sample in model.predict(images, labelled_samples((0,), (1,), (2,))):
        torch.testing.assert_close(sample.seg_logits.data.sum(0), torch.ones(40, 56))


def test_mixed_precision_step_is_finite(model, images):
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model.loss(images, labelled_samples((0,), (1, 2), (2,)))
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
    assert all(p.grad.isfinite().all() for p in model.decode_head.parameters())


def test_checkpoints_leave_the_frozen_weights_out(model, tmp_path):
    state = model.state_dict()
    assert not any('visual' in key or 'text' in key for key in state)
    other = tiny_weclip()
    other.load_state_dict(state, strict=True)
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(other.eval()(x), model.eval()(x))


def test_a_checkpoint_of_another_clip_is_refused(model):
    backbone = dict(type='mmwsss.FrozenCLIP', checkpoint=tiny_clip_state(7), quick_gelu=True)
    with pytest.raises(ValueError, match=r'another CLIP.*model\.backbone\.checkpoint'):
        tiny_weclip(backbone=backbone).load_state_dict(model.state_dict())


def test_class_counts_must_agree(images):
    text = dict(type='mmwsss.TextBank', class_names=['a', 'b'])
    with pytest.raises(ValueError, match=r'num_classes is 4.*has 2 classes'):
        tiny_weclip(text=text)


def test_data_set_with_other_classes(model, images):
    batch = labelled_samples((0,), (1,), (2,))
    for sample in batch:
        sample.gt_image_labels.label = torch.ones(5)
    with pytest.raises(ValueError, match='5 foreground classes, the model 3'):
        model.loss(images, batch)


def test_missing_image_labels(model, images):
    batch = labelled_samples((0,), (1,), (2,))
    del batch[1].gt_image_labels
    model.test_cfg = dict(predict='cam')
    with pytest.raises(ValueError, match=r'x\.png comes without image labels.*LoadImageLabels'):
        model.predict(images, batch)


def test_cam_mode_takes_no_views(model):
    with pytest.raises(ValueError, match=r"scales .*are for predict='seg'"):
        model.test_cfg = dict(predict='cam', scales=[1.0, 0.75])


def test_more_attention_maps_than_blocks():
    refiner = dict(type='mmwsss.CLIPAffinityRefiner', static_last=8, gated_last=2)
    with pytest.raises(ValueError, match=r'static_last is 8, but the CLIP has 4 blocks'):
        tiny_weclip(refiner=refiner)
    refiner = dict(type='mmwsss.CLIPAffinityRefiner', static_last=3, gated_last=2)
    for changes in (dict(gated_start=None), dict(static_last=None), dict(gated_start=-1)):
        with pytest.raises(ValueError, match=r'[rR]efiner\.gated_start'):
            tiny_weclip(refiner={**refiner, **changes})
