"""Training on labelled crops: what is drawn, what is labelled, bad stores."""

import numpy as np
import pytest

from mmwsss.datasets.transforms import LoadRoughScores, RandomMultiCrop
from mmwsss.ops.multi_crop import tile_boxes

SIZE = (40, 100)


@pytest.fixture(autouse=True)
def seed():
    np.random.seed(0)


def sample(scores, labels=(2,)) -> dict:
    """An image whose columns are numbered."""
    image = np.broadcast_to(np.arange(SIZE[1], dtype=np.uint8)[None, :, None], (*SIZE, 3))
    hot = np.zeros(5, np.float32)
    hot[list(labels)] = 1
    return dict(
        img=image.copy(),
        gt_image_labels=hot,
        rough_labels=np.array(labels, int),
        rough_scores=np.asarray(scores, np.float16),
    )


def object_at(columns: slice) -> np.ndarray:
    scores = np.zeros((1, *SIZE))
    scores[..., columns] = 0.95
    return scores


def test_boxes_are_tried_until_one_shows_a_class():
    transform = RandomMultiCrop(scales=(1.0,), crop=40, stride=20)
    (boxes,) = tile_boxes(SIZE, (1.0,), 40, 20)
    assert boxes[:, 2:].tolist() == [[0, 20], [20, 40], [40, 60], [60, 100]]
    seen = {False: 0, True: 0}
    for _ in range(60):
        out = transform(sample(object_at(slice(0, 15))))
        y0, y1, x0, x1 = out['crop_box']
        assert [x0, x1] in boxes[:, 2:].tolist() and out['img'].shape == (y1 - y0, x1 - x0, 3)
        assert out['img'][0, 0, 0] == x0 and out['img_shape'] == out['img'].shape[:2]
        assert 'rough_scores' not in out and 'rough_labels' not in out
        shows = x0 == 0
        assert out['gt_image_labels'].tolist() == [0, 0, float(shows), 0, 0]
        seen[shows] += 1
    # of four draws among four boxes, (3/4)^4 = 32 % never hit the first
    assert 28 < seen[True] < 52


def test_first_hit_counts_and_the_last_try_if_there_is_none():
    transform = RandomMultiCrop(scales=(1.0,), crop=40, stride=20)
    transform._random_tries = lambda number: np.array([3, 1, 0, 0])
    out = transform(sample(object_at(slice(20, 30))))
    assert out['crop_box'][2:] == [20, 40] and out['gt_image_labels'][2] == 1
    out = transform(sample(np.full((1, *SIZE), 0.9)))  # not above 0.9
    assert out['crop_box'][2:] == [0, 20] and not out['gt_image_labels'].any()


def test_an_image_without_labels_and_one_smaller_than_the_crop():
    transform = RandomMultiCrop()
    out = transform(sample(np.zeros((0, *SIZE)), labels=()))
    assert not out['gt_image_labels'].any()
    out = RandomMultiCrop(scales=(1.0,))(sample(object_at(slice(0, 100))))
    assert out['crop_box'] == [0, 40, 0, 100] and out['gt_image_labels'][2] == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(scales=()), 'scales'),
        (dict(scales=(0,)), 'scales'),
        (dict(crop=10, stride=20), 'stride'),
        (dict(confidence=1.2), 'confidence'),
        (dict(share=-1), 'share'),
    ],
)
def test_what_is_out_of_range_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomMultiCrop(**arguments)


def stored(tmp_path, labels=(2,), scores=None, **changes) -> dict:
    scores = np.zeros((1 + len(labels), *SIZE)) if scores is None else scores
    np.savez(tmp_path / 'a.npz', labels=np.int16(labels), scores=np.float16(scores))
    image = np.zeros((*SIZE, 3), np.uint8)
    results = dict(img=image, img_path='a.jpg', num_foreground=5, image_labels=np.array([2]))
    return dict(results, score_path=str(tmp_path / 'a.npz'), **changes)


def test_scores_without_the_background(tmp_path):
    scores = np.stack([np.full(SIZE, 0.25), np.full(SIZE, 0.75)])
    out = LoadRoughScores()(stored(tmp_path, scores=scores))
    assert out['rough_labels'].tolist() == [2]
    assert out['rough_scores'].shape == (1, *SIZE) and out['rough_scores'].min() == 0.75


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(labels=(3,)), 'the image labels are'),
        (dict(labels=(7,), image_labels=None), 'not different foreground classes'),
        (dict(scores=np.zeros((1, *SIZE))), 'expected 2 maps'),
        (dict(scores=np.zeros((2, 8, 9))), r'scores are 8 x 9 .*the image is 40 x 100'),
        (dict(scores=np.full((2, *SIZE), 1.5)), r'outside \[0, 1\]'),
        (dict(scores=np.full((2, *SIZE), np.nan)), r'outside \[0, 1\]'),
    ],
)
def test_stores_that_do_not_fit_are_refused(changes, message, tmp_path):
    labels, scores = changes.pop('labels', (2,)), changes.pop('scores', None)
    results = stored(tmp_path, labels, scores)
    if 'image_labels' in changes:
        del results['image_labels']
    with pytest.raises(ValueError, match=message):
        LoadRoughScores()(results)


def test_without_score_dir_the_data_set_is_asked_for_it(tmp_path):
    results = stored(tmp_path)
    del results['score_path']
    with pytest.raises(ValueError, match='score_dir'):
        LoadRoughScores()(results)
    with pytest.raises(FileNotFoundError, match='Run the stage'):
        LoadRoughScores()(dict(results, score_path=str(tmp_path / 'gone.npz')))
