import pytest
import torch
from open_clip.model import CLIP

from mmwsss.models import FrozenCLIP, TextBank
from mmwsss.models.text_encoders.text_features import cached_text_features, text_features
from mmwsss.models.utils.clip_weights import build_clip
from mmwsss.testing import tiny_clip_state


@pytest.fixture
def clip():
    return FrozenCLIP(tiny_clip_state(), quick_gelu=True)


def test_text_embeddings_are_open_clips(clip):
    from open_clip.tokenizer import SimpleTokenizer

    reference: CLIP = build_clip(tiny_clip_state(), True).eval()
    with torch.no_grad():
        expected = reference.encode_text(SimpleTokenizer()(['a photo of a cat.']), normalize=True)
    ours = text_features(clip, ['cat'], ['a photo of a {}.'])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_batches_and_templates(clip):
    names, templates = ['cat', 'sea lion', 'dog'], ['a {}.', 'the {} there']
    together = text_features(clip, names, templates)
    split = text_features(clip, names, templates, batch=2)
    torch.testing.assert_close(together, split, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))
    assert not torch.allclose(together, text_features(clip, names, templates[:1]), atol=1e-3)


def test_mask_holds_the_classes_of_the_image_and_every_background(clip):
    bank = TextBank(['cat', 'dog'], ['sky', 'cat'])  # a background that is a class is left out
    bank.encode(clip)
    assert bank.embeddings.shape == (3, 16)
    mask = bank.mask(torch.tensor([[0.0, 1.0], [0, 0]]))
    assert mask.tolist() == [[False, True, True], [False, False, True]]


def test_class_names_must_be_there_and_differ():
    with pytest.raises(ValueError, match="given twice: \\['cat'\\]"):
        TextBank(['cat', 'dog', 'cat'])
    with pytest.raises(ValueError, match="given twice: \\['Cat', 'cat '\\]"):
        TextBank(['Cat', 'dog', 'cat '])  # the same to CLIP
    with pytest.raises(ValueError, match='must not be empty'):
        TextBank([])
    with pytest.raises(ValueError, match='class_names: there are 256 classes with the background'):
        TextBank(list(map(str, range(255))))
    for names in (['cat', ''], ['cat', ' '], ['cat', None], [1]):
        with pytest.raises(ValueError, match='class_names must be texts and not empty'):
            TextBank(names)
    with pytest.raises(ValueError, match="list of texts, not the text 'cat'"):
        TextBank('cat')


def test_background_names_are_compared_as_clip_reads_them():
    assert TextBank(['Sea  Lion'], ['sea lion', 'Sky']).background_names == ['Sky']
    with pytest.raises(ValueError, match='background_names must be texts'):
        TextBank(['cat'], ['sky', ''])


@pytest.mark.parametrize(
    'templates',
    ['a {}.', [], ['a photo'], ['a {}', ''], ['{} {}'], ['a {0}'], ['{{}}'], ['{} {'], [None]],
)
def test_templates_need_a_place_for_the_name(clip, templates):
    with pytest.raises(ValueError, match=r'must (be a list of sentences|hold .* once)'):
        TextBank(['cat'], templates=templates)
    with pytest.raises(ValueError, match='template'):
        text_features(clip, ['cat'], templates)


def test_prompts_longer_than_the_context(clip):
    with pytest.raises(ValueError, match=r'has \d+ tokens, CLIP reads at most 77'):
        text_features(clip, ['cat ' * 80], ['a {}.'])


def test_texts_are_encoded_once(clip, monkeypatch, tmp_path):
    monkeypatch.setenv('MMWSSS_CACHE_DIR', str(tmp_path))
    names, templates = ['cat', 'sea lion'], ['a {}.', 'the {}']
    first = cached_text_features(clip, names, templates)
    assert torch.equal(first, text_features(clip, names, templates))
    clip.drop_text()
    assert torch.equal(cached_text_features(clip, names, templates), first)
    assert clip.text_tower is None  # not even read
    (path,) = tmp_path.rglob('*.npy')
    path.write_bytes(path.read_bytes()[:-40])
    torch.testing.assert_close(cached_text_features(clip, names, templates), first)
    other = FrozenCLIP(tiny_clip_state(seed=1), quick_gelu=True)
    for features in (
        cached_text_features(other, names, templates),
        cached_text_features(clip, names, templates[:1]),
        cached_text_features(clip, names[::-1], templates),
    ):
        assert not torch.allclose(features, first, atol=1e-3)
    assert len(list(tmp_path.rglob('*.npy'))) == 4


def test_a_folder_that_cannot_be_written_is_no_error(clip, monkeypatch, tmp_path):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('MMWSSS_CACHE_DIR', str(tmp_path / 'file'))
    assert cached_text_features(clip, ['cat'], ['a {}.']).shape == (1, 16)
