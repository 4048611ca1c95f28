"""Writers: the folder formats that one stage hands to the next."""

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmwsss.evaluation import CAMStoreWriter, PseudoMaskWriter

META = dict(classes=('background', 'boat', 'car'), palette=[[0, 0, 0], [10, 20, 30], [200, 0, 5]])


def make_sample(path='images/a.jpg', mask=None, cam=None, size=(2, 3)) -> SegDataSample:
    sample = SegDataSample(metainfo=dict(img_path=path, ori_shape=size))
    if mask is not None:
        sample.pred_sem_seg = PixelData(data=torch.tensor([mask]))
    if cam is not None:
        sample.pred_cam = BaseDataElement(cam=cam, labels=torch.arange(len(cam)))
    return sample


def write(writer, *samples) -> dict:
    evaluator = Evaluator(writer)
    evaluator.dataset_meta = META
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_pseudo_mask_is_a_paletted_png_of_class_indices(tmp_path):
    mask = [[0, 1, 2], [255, 2, 0]]
    assert write(PseudoMaskWriter(str(tmp_path / 'masks')), make_sample(mask=mask)) == {}
    assert [p.name for p in (tmp_path / 'masks').iterdir()] == ['a.png']
    with Image.open(tmp_path / 'masks' / 'a.png') as image:
        assert image.mode == 'P'
        assert np.array(image).tolist() == mask
        assert image.convert('RGB').getpixel((1, 0)) == (10, 20, 30)


def test_more_classes_than_masks_hold_are_refused(tmp_path):
    names = ('background', *map(str, range(255)))
    writer = PseudoMaskWriter(str(tmp_path))
    writer.dataset_meta = dict(classes=names)
    sample = make_sample(mask=[[0, 1, 255], [0, 0, 0]])
    with pytest.raises(ValueError, match=r'pred_sem_seg: there are 256 classes .* 255 at most'):
        writer.process(None, [sample.to_dict()])
    assert not list(tmp_path.iterdir())
    writer.dataset_meta = dict(classes=names[:255])
    writer.process(None, [sample.to_dict()])
    assert np.array(Image.open(tmp_path / 'a.png')).max() == 255


def test_pseudo_mask_writer_takes_the_named_field(tmp_path):
    sample = make_sample(mask=[[0, 0, 0], [0, 0, 0]])
    sample.pred_pseudo_mask = PixelData(data=torch.ones(1, 2, 3, dtype=torch.int64))
    write(PseudoMaskWriter(str(tmp_path), field='pred_pseudo_mask'), sample)
    assert (np.array(Image.open(tmp_path / 'a.png')) == 1).all()


def test_cam_store_file_follows_the_contract(tmp_path):
    cam = torch.rand(2, 2, 3)
    write(CAMStoreWriter(str(tmp_path)), make_sample(cam=cam, size=(20, 30)))
    with np.load(tmp_path / 'a.npz', allow_pickle=False) as store:
        assert set(store) == {'labels', 'cam', 'size'}
        assert store['labels'].dtype == np.int16 and store['labels'].tolist() == [0, 1]
        assert store['size'].dtype == np.int32 and store['size'].tolist() == [20, 30]
        assert store['cam'].dtype == np.float16
        np.testing.assert_allclose(store['cam'], cam.numpy(), atol=5e-4)


def test_reduced_cam_store_holds_averages(tmp_path):
    cam = torch.rand(2, 9, 12)
    write(CAMStoreWriter(str(tmp_path), stride=3), make_sample(cam=cam, size=(9, 12)))
    with np.load(tmp_path / 'a.npz', allow_pickle=False) as store:
        assert store['size'].tolist() == [9, 12]
        expected = cam.view(2, 3, 3, 4, 3).mean(dim=(2, 4))
        np.testing.assert_allclose(store['cam'], expected.numpy(), atol=5e-4)
    with pytest.raises(ValueError, match='stride must be'):
        CAMStoreWriter(str(tmp_path), stride=0)


def test_cam_store_of_an_image_without_labels_is_empty(tmp_path):
    write(CAMStoreWriter(str(tmp_path)), make_sample(cam=torch.zeros(0, 2, 3)))
    with np.load(tmp_path / 'a.npz', allow_pickle=False) as store:
        assert store['cam'].shape == (0, 2, 3)


@pytest.mark.parametrize(
    'writer, samples, message',
    [
        (CAMStoreWriter, [make_sample()], 'images/a.jpg has no pred_cam'),
        (CAMStoreWriter, [make_sample(cam=torch.full((1, 2, 3), 1.5))], r'outside \[0, 1\]'),
        (CAMStoreWriter, [make_sample(cam=torch.full((1, 2, 3), torch.nan))], r'outside \[0, 1\]'),
        (PseudoMaskWriter, [make_sample()], 'images/a.jpg has no pred_sem_seg'),
        (PseudoMaskWriter, [make_sample(mask=[[0, 3, 0], [0, 0, 0]])], r'a.jpg: .*values \[3\]'),
        (PseudoMaskWriter, [make_sample(mask=[[0, -1, 0], [0, 0, 0]])], r'a.jpg: .*values \[-1\]'),
        (
            PseudoMaskWriter,
            [make_sample(mask=[[0, float('nan'), 0], [0, 0, 0]])],
            'a.jpg: pred_sem_seg holds float32 numbers',
        ),
        (PseudoMaskWriter, [make_sample(mask=[[0, 0, 0]])], r'mask is \(1, 3\), the image \(2, 3'),
        (
            PseudoMaskWriter,
            [make_sample(path=f'{d}/a.jpg', mask=[[0, 1, 0], [0, 0, 0]]) for d in 'xy'],
            'same image id a',
        ),
    ],
)
def test_bad_input_names_the_image(tmp_path, writer, samples, message):
    with pytest.raises(ValueError, match=message):
        write(writer(str(tmp_path)), *samples)


@pytest.mark.parametrize('writer', [CAMStoreWriter, PseudoMaskWriter])
@pytest.mark.parametrize('key', ['img_path', 'seg_map_path'])
def test_what_is_read_is_not_written_over(tmp_path, writer, key):
    (tmp_path / 'link').symlink_to(tmp_path / 'data')
    folder = tmp_path / 'data'
    sample = make_sample(mask=[[0, 1, 2], [0, 0, 0]], cam=torch.zeros(1, 2, 3))
    sample.set_metainfo({key: str(folder / 'a.png')})
    for output in (folder, tmp_path / 'link'):
        with pytest.raises(ValueError, match=rf'output folder is .*{output.name}.*folder of the'):
            write(writer(str(output)), sample)
    assert not list(folder.iterdir())
    write(writer(str(folder / 'out')), sample)
    assert len(list((folder / 'out').iterdir())) == 1
