"""Scripts that name the stores by their former place go on working."""

import numpy as np

from mmwsss.datasets import cam_store, label_file
from mmwsss.stores.cam_store import load_cam


def test_stores_are_written_and_read_by_their_former_names(tmp_path):
    cam_store.save_cam(tmp_path / 'a.npz', np.array([1]), np.full((1, 2, 3), 0.5), (4, 6))
    assert (
        cam_store.load_cam(tmp_path / 'a.npz').size == load_cam(tmp_path / 'a.npz').size == (4, 6)
    )
    label_file.write_label_file(tmp_path / 'labels.json', {'a': ['cat']})
    assert label_file.read_label_file(tmp_path / 'labels.json') == {'a': ['cat']}
    assert label_file.encode_image_labels(['cat'], ['dog', 'cat']).tolist() == [1]
