"""Checkpoints of other classes."""

import pytest

from mmwsss.models.utils import class_check
from mmwsss.models.utils.class_check import check_classes

CLASSES = ('background', 'boat', 'car')


@pytest.mark.parametrize(
    'theirs, message',
    [
        (
            ('background', 'car', 'boat'),
            "the order differs, class 1 is 'car' there and 'boat' here",
        ),
        (('background', 'boat'), r'the config has car \(2 and 3 classes\)'),
        ((*CLASSES, 'cow'), r'it has cow \(4 and 3 classes\)'),
        (('background', 'boat', 'bus'), 'it has bus, the config has car'),
    ],
)
def test_other_classes_are_refused_and_named(theirs, message):
    for key in ('classes', 'CLASSES'):  # the second one of old checkpoints
        with pytest.raises(ValueError, match=rf'a\.pth was trained for other .* b\.py: {message}'):
            check_classes('a.pth', dict(dataset_meta={key: theirs}), CLASSES, 'b.py')


@pytest.fixture
def log(monkeypatch) -> list[str]:
    """What is logged."""
    said = []
    monkeypatch.setattr(class_check, 'print_log', lambda text, *_: said.append(text))
    return said


def test_the_same_classes_pass_in_silence(log):
    check_classes('a.pth', dict(dataset_meta=dict(classes=list(CLASSES))), CLASSES)
    check_classes('a.pth', dict(dataset_meta=dict(classes=['x'])), None)  # no data set
    assert log == []


@pytest.mark.parametrize('meta', [{}, dict(dataset_meta=None), dict(dataset_meta={})])
def test_a_checkpoint_without_classes_is_said_to_be_unchecked(log, meta):
    check_classes('converted.pth', meta, CLASSES)
    assert len(log) == 1
    assert 'converted.pth does not say for which classes' in log[0]
    assert 'in this order: background, boat, car' in log[0]
