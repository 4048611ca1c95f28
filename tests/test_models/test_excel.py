import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub

from mmwsss.models import ExCEL, ExCELFree, FrozenCLIP
from mmwsss.models.text_encoders.attribute_bank import (
    SHIPPED,
    build_bank,
    load_bank,
    read_descriptions,
    save_bank,
)
from mmwsss.models.text_encoders.text_features import cut_to_context
from mmwsss.testing import labelled_samples, tiny_clip_state

from .conftest import CLASSES

CONFIGS = Path(__file__).parents[2] / 'configs'


def free_config() -> dict:
    return dict(
        backbone=dict(
            type='mmwsss.SurgeryCLIP',
            checkpoint=tiny_clip_state(),
            quick_gelu=True,
            num_surgery=2,
        ),
        text=dict(
            type='mmwsss.AttributeTextBank',
            class_names=CLASSES,
            background_names=['grass', 'sky'],
            bank=torch.randn(16, 12),
        ),
        refiner=dict(type='mmwsss.CLIPAffinityRefiner', static_last=3, gated_last=2, gated_start=5),
        par=dict(type='mmwsss.PAR', dilations=(1, 2), iterations=3),
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', mean=[120.0] * 3, std=[58.0] * 3),
        test_cfg=dict(side=40),
    )


def tiny_excel(**changes) -> ExCEL:
    head = dict(
        type='mmwsss.WeCLIPHead',
        in_channels=64,
        num_layers=4,
        num_classes=4,
        channels=16,
        num_blocks=1,
        num_heads=2,
        affinity='centred',
    )
    config = dict(free_config(), decode_head=head, test_cfg=dict(side=40, sizes=(40,)))
    return ExCEL(**{**config, **changes})


@pytest.fixture
def model():
    torch.manual_seed(0)
    return tiny_excel()


@pytest.fixture
def iteration(monkeypatch):
    hub = MessageHub.get_instance('excel')
    monkeypatch.setattr(MessageHub, 'get_current_instance', lambda: hub)
    hub.update_info('iter', 0)
    return lambda value: hub.update_info('iter', value)


def test_a_step_trains_the_decoder_only(model, images, iteration):
    losses = model.train().loss(images, labelled_samples((0,), (1, 2), ()))
    sum(losses.values()).backward()
    assert set(losses) == {'loss_seg', 'loss_affinity'}
    assert all(torch.isfinite(v) for v in losses.values())
    trained = {k for k, p in model.named_parameters() if p.grad is not None}
    assert trained == {k for k, _ in model.named_parameters() if k.startswith('decode_head.')}


def test_phases_begin_when_they_should(images, iteration, monkeypatch):
    model = tiny_excel(self_target_start=8).eval()
    calibrated, sources = [], []
    maps, losses = model.patch_text_maps, model.decode_head.loss_by_feat

    def maps_of(features, fused=None):
        calibrated.append(fused is not None)
        return maps(features, fused)

    def losses_of(logits, affinity, label, source):
        sources.append(source)
        return losses(logits, affinity, label, source)

    monkeypatch.setattr(model, 'patch_text_maps', maps_of)
    monkeypatch.setattr(model.decode_head, 'loss_by_feat', losses_of)
    for value in (4, 5, 7, 8):
        iteration(value)
        model.loss(images, labelled_samples((0,), (1,), (2,)))
    assert calibrated == [False, True, True, True]
    assert [source is not None for source in sources] == [False, False, False, True]
    own = model.encode_decode(images)
    own = torch.nn.functional.interpolate(own, size=(40, 56), mode='bilinear').argmax(1)
    assert torch.equal(sources[-1], own)


@pytest.mark.parametrize('start', [0, 99], ids=['calibrated', 'static'])
def test_mixed_precision_step_is_finite(images, iteration, start):
    refiner = dict(type='mmwsss.CLIPAffinityRefiner', static_last=3, gated_last=2)
    model = tiny_excel(refiner=dict(refiner, gated_start=start))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model.loss(images, labelled_samples((0,), (1, 2), (2,)))
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
    assert all(p.grad.isfinite().all() for p in model.decode_head.parameters())


def test_seg_never_uses_image_labels(model, images):
    model.eval().test_cfg = dict(sizes=(40, 32), flip=True, side=40, with_cam=True)
    first = model.predict(images, labelled_samples((0,), (1,), (2,)))
    second = model.predict(images, labelled_samples((1, 2), (0,), ()))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)
        assert a.seg_logits.data.shape == (4, 40, 56)
    assert second[0].pred_cam.cam.shape == (2, 40, 56)
    assert (second[2].pred_pseudo_mask.data == 0).all()


def test_maps_do_not_depend_on_the_other_images_of_the_batch(model, images):
    model.eval()
    labels = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0]])
    together = model.predict_maps(images, labels)
    for i in range(3):
        alone = model.predict_maps(images[i : i + 1], labels[i : i + 1])
        known = together.classes[i] >= 0
        torch.testing.assert_close(alone.cams[0], together.cams[i, known])
        assert torch.equal(alone.label[0], together.label[i])


def test_training_free_maps(images):
    torch.manual_seed(0)
    static = dict(
        type='mmwsss.CLIPAffinityRefiner', static_last=3, gated_last=None, gated_start=None
    )
    model = ExCELFree(**{**free_config(), 'refiner': static}).eval()
    assert not any(p.requires_grad for p in model.parameters())
    result = model.predict(images, labelled_samples((0,), (1, 2), ()))
    for sample, allowed in zip(result, ({0, 1}, {0, 2, 3}, {0}), strict=True):
        assert set(sample.pred_sem_seg.data.unique().tolist()) <= allowed
    model.test_cfg = dict(side=40, maps='plain')
    plain = model.predict(images, labelled_samples((0,), (1, 2), ()))
    assert not torch.equal(plain[0].pred_cam.cam, result[0].pred_cam.cam)
    with pytest.raises(ValueError, match=r'test_cfg\.predict must be one of cam'):
        model.test_cfg = dict(predict='seg')


def test_colours_that_refine_maps_are_those_of_the_view(model, images):
    seen = []
    model.eval().par.register_forward_pre_hook(lambda _, args: seen.append(args))
    model.predict_maps(images, torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0]]))
    view = torch.nn.functional.interpolate(images, size=(40, 40), mode='bilinear')
    ((image, scores, *_),) = seen
    assert torch.equal(image, view) and scores.shape[-2:] == (40, 56)


def test_first_view_without_its_mirror_image(model):
    image = torch.randn(1, 3, 40, 40)
    model.eval().test_cfg = dict(sizes=(40, 32), flip=True, side=40)
    both = model.merged_logits(image)
    model.test_cfg = dict(model.test_cfg, first_unflipped=True)
    one = model.merged_logits(image)
    plain = model.encode_decode(image)
    mirrored = model.encode_decode(image.flip(-1)).flip(-1)
    up = torch.nn.functional.interpolate(plain - mirrored, size=(40, 40), mode='bilinear')
    torch.testing.assert_close(one - both, up / 4, atol=1e-5, rtol=1e-3)
    model.test_cfg = dict(model.test_cfg, merge_scale=0.5)
    assert model.merged_logits(image).shape == (1, 4, 20, 20)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(test_cfg=dict(side=44)), r'multiples of the patch of 8 pixels, got 44'),
        (dict(test_cfg=dict(side=40, sizes=(40, 30))), 'got 30'),
        (dict(refiner=dict(type='mmwsss.CLIPAffinityRefiner', static_last=6)), 'has 4 blocks'),
        (dict(test_cfg=dict(merge_scale=0)), 'merge_scale'),
        (dict(test_cfg=dict(scales=(1.0, 0.5))), 'scales'),
        (dict(test_cfg=dict(side=40, sizes=(40,), first_unflipped=True)), 'needs .*flip=True'),
        (
            dict(
                refiner=dict(type='mmwsss.CLIPAffinityRefiner', static_last=None, gated_start=None)
            ),
            'static_last is None, but the method has a static phase',
        ),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_excel(**changes)


def test_a_crop_that_patches_do_not_fill(model):
    with pytest.raises(ValueError, match='patch of 8 pixels, got 44'):
        model.loss(torch.randn(1, 3, 40, 44), labelled_samples((0,)))


def text(**changes):
    config = dict(type='mmwsss.AttributeTextBank', class_names=CLASSES)
    return dict(text={**config, **changes})


def test_a_missing_bank_is_an_error():
    with pytest.raises(ValueError, match=r'text\.bank is missing: .*descriptions.*plain'):
        tiny_excel(**text())


def test_plain_texts_must_be_asked_for():
    model = tiny_excel(**text(bank='plain'))
    assert torch.equal(model.text.enriched, model.text.embeddings)


def test_descriptions_are_clustered(tmp_path):
    path = tmp_path / 'd.json'
    path.write_text(json.dumps({name: [f'it is {i}.' for i in range(4)] for name in CLASSES}))
    model = tiny_excel(**text(bank=str(path), num_attributes=5))
    assert model.text.enriched.shape == model.text.embeddings.shape
    assert not torch.allclose(model.text.enriched, model.text.embeddings)
    with pytest.raises(ValueError, match=r'd\.json has no descriptions of horse'):
        tiny_excel(**text(bank=str(path), class_names=('cat', 'dog', 'horse')))
    renamed = text(bank=str(path), class_names=('cat', 'dog', 'ox'), described_as=CLASSES)
    tiny_excel(**renamed)


def test_bank_of_other_classes_or_another_clip(tmp_path):
    clip = FrozenCLIP(tiny_clip_state(), quick_gelu=True)
    sentences = [[f'it is {i}.' for i in range(4)]] * 3
    bank, _ = build_bank(clip, CLASSES, sentences, 5)
    path = tmp_path / 'bank.npz'
    save_bank(path, bank, classes=CLASSES, text_tower=clip.text_digest())
    model = tiny_excel(**text(bank=str(path)))
    expected = tiny_excel(**text(bank=bank)).text.enriched
    assert torch.equal(model.text.enriched, expected)
    with pytest.raises(ValueError, match=r'other classes \(different: cow, ox'):
        tiny_excel(**text(bank=str(path), class_names=('cat', 'dog', 'ox')))
    state = tiny_clip_state()
    state['token_embedding.weight'] = state['token_embedding.weight'] + 1e-3
    other = FrozenCLIP(state, quick_gelu=True)
    assert other.digest == clip.digest  # the vision tower is the same
    save_bank(path, bank, classes=CLASSES, text_tower=other.text_digest())
    with pytest.raises(ValueError, match=r'bank\.npz was made with the text tower of another CLIP'):
        tiny_excel(**text(bank=str(path)))
    for facts, missing in (({}, 'classes, text_tower'), (dict(classes=CLASSES), 'text_tower')):
        save_bank(path, bank, **facts)
        with pytest.raises(ValueError, match=rf'bank\.npz does not say .* \(no {missing}\)'):
            tiny_excel(**text(bank=str(path)))
    with pytest.raises(ValueError, match='of 8 numbers, the CLIP makes texts of 16'):
        tiny_excel(**text(bank=torch.randn(8, 12)))


def test_official_files(tmp_path):
    """Sentences begin with the class already; flags tell how many classes there were."""
    clip = FrozenCLIP(tiny_clip_state(), quick_gelu=True)
    plain = [[f'It is {i}.' for i in range(3)]] * 3
    official = [[f'a clean origami {n}. it is {i}.' for i in range(3)] for n in CLASSES]
    banks = [build_bank(clip, CLASSES, sentences, 4)[0] for sentences in (plain, official)]
    assert torch.equal(*banks)
    bank = torch.randn(16, 12)
    torch.save([bank, torch.zeros(80, 12)], tmp_path / 'coco.pth')
    with pytest.raises(ValueError, match=r'coco\.pth was made for 80 classes, there are 3'):
        tiny_excel(**text(bank=str(tmp_path / 'coco.pth')))
    torch.save([bank, torch.zeros(3, 12)], tmp_path / 'own.pth')
    model = tiny_excel(**text(bank=str(tmp_path / 'own.pth')))
    assert torch.equal(model.text.enriched, tiny_excel(**text(bank=bank)).text.enriched)


def test_long_descriptions_are_cut_at_a_word():
    texts = ['it is red.', 'very ' * 90 + 'red.']
    assert cut_to_context(texts) == ['it is red.', ' '.join(['very'] * 75)]


@pytest.mark.parametrize(('name', 'count'), [('voc12', 20), ('coco14', 80)])
def test_shipped_descriptions_know_every_class(name, count):
    texts = Config.fromfile(CONFIGS / f'_base_/prompts/clip_es_{name}.py').texts
    names = texts.get('described_as') or texts['class_names']
    sentences = read_descriptions(SHIPPED['shipped'], names)
    assert [len(of_class) for of_class in sentences] == [20] * count
    assert len({s for of_class in sentences for s in of_class}) == 20 * count


def test_bank_builder(tmp_path, run_tool):
    path = tmp_path / 'd.json'
    grounds = ('grass', 'sky', 'water')
    path.write_text(json.dumps({n: [f'a {n} on {g}.' for g in grounds] for n in ('boat', 'cow')}))
    options = ('--clip', 'mini', '--num-attributes', 4)
    done = run_tool('build_attribute_bank.py', path, 'b.npz', *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    bank, about = load_bank(tmp_path / 'b.npz')
    assert bank.shape[1] == 4 and about['flags'].shape == (2, 4)
    assert about['classes'].tolist() == ['boat', 'cow'] and len(about['sentences']) == 6
    assert int(about['text_tower']) == FrozenCLIP('mini').text_digest()


def test_official_bank_and_what_is_none(tmp_path):
    bank = torch.randn(16, 12)
    torch.save([bank, torch.zeros(3, 12)], tmp_path / 'bank.pth')
    assert torch.equal(load_bank(tmp_path / 'bank.pth')[0], bank)
    torch.save(bank[0], tmp_path / 'row.pth')
    (tmp_path / 'cut.npz').write_bytes(b'PK\x03\x04')
    for name in ('row.pth', 'cut.npz'):
        with pytest.raises(ValueError, match=f'{name} is no attribute bank'):
            load_bank(tmp_path / name)
