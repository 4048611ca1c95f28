"""The notebook runs from its first cell to the last and again, with trainings of two iterations."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from PIL import Image

from mmwsss.utils.io import read_mask, write_mask

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / 'demo/ten_minutes.ipynb'
CELLS = json.loads(NOTEBOOK.read_text())['cells']
SHORTER = {'ITERATIONS = 60': 'ITERATIONS = 2'}

nbformat = pytest.importorskip('nbformat')
nbclient = pytest.importorskip('nbclient')
pytest.importorskip('ipykernel')


def test_nothing_of_a_run_is_stored():
    for cell in CELLS:
        assert not cell.get('outputs') and cell.get('execution_count') is None
    assert [cell['metadata'].get('tags') for cell in CELLS].count(['parameters']) == 1


def cell_with(text: str) -> str:
    (source,) = (source for c in CELLS if text in (source := ''.join(c['source'])))
    return source


def test_the_mask_that_is_corrected_shows_a_class(tmp_path):
    (tmp_path / 'to_correct').mkdir()
    brush = dict(id='1', type='brushlabels', value=dict(brushlabels=['cow']))
    tasks = [
        dict(data=dict(image_id=key), predictions=[dict(result=result)])
        for key, result in (('empty', []), ('cow', [brush]))
    ]
    (tmp_path / 'to_correct/label_studio_tasks.json').write_text(json.dumps(tasks))
    write_mask(tmp_path / 'masks/cow.png', np.eye(4, dtype=np.uint8))
    known = dict(json=json, np=np, read_mask=read_mask, work=tmp_path, data=tmp_path)
    review = SimpleNamespace(doubts=dict(empty=1.0, cow=0.5))
    exec(cell_with("'rectanglelabels'"), dict(known, review=review, worst='empty', CLASSES=['cow']))
    empty, cow = json.loads((tmp_path / 'project.json').read_text())
    assert 'annotations' not in empty
    assert cow['annotations'][0]['result'][0]['value']['width'] == 100


def test_a_photograph_is_turned_as_it_says(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation: a quarter turn
    Image.new('RGB', (6, 4)).save(tmp_path / 'photo.jpg', exif=exif)
    seen = []

    class Session:
        def __init__(self, path):
            self.get_modelmeta = lambda: SimpleNamespace(custom_metadata_map={'classes': '["a"]'})

        def run(self, names, inputs):
            seen.append(inputs['image'].shape)
            return [np.zeros((1, 1, 2, 2))]

    monkeypatch.setitem(sys.modules, 'onnxruntime', SimpleNamespace(InferenceSession=Session))
    known = dict(json=json, np=np, Image=Image, work=tmp_path, files=[tmp_path / 'photo.jpg'])
    exec(cell_with('import onnxruntime'), known)
    assert seen == [(1, 3, 6, 4)]


def test_it_runs_twice(tmp_path, monkeypatch):
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    monkeypatch.setenv('PYTHONPATH', path)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = (c for c in notebook.cells if c.metadata.get('tags') == ['parameters'])
    for old, new in SHORTER.items():
        assert parameters.source.count(old) == 1
        parameters.source = parameters.source.replace(old, new)
    resources = {'metadata': {'path': str(tmp_path)}}
    for _ in range(2):
        nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()

    work = tmp_path / 'ten_minutes'
    assert (work / 'review.html').is_file()
    assert [node.name for node in onnx.load(work / 'network.onnx').graph.input] == ['image']
    assert (work / 'network/model.safetensors').is_file()
    outputs = [o for cell in notebook.cells for o in cell.get('outputs', ())]
    pictures = [o for o in outputs if 'image/png' in o.get('data', {})]
    assert len(pictures) == 5
    assert any('1 corrected, 11 as they were' in o.get('text', '') for o in outputs)
