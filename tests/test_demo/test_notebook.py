"""The notebook runs from its first cell to the last, with a training of two iterations."""

import json
import os
from pathlib import Path

import onnx
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / 'demo/ten_minutes.ipynb'
SHORTER = {'ITERATIONS = 60': 'ITERATIONS = 2'}

nbformat = pytest.importorskip('nbformat')
nbclient = pytest.importorskip('nbclient')
pytest.importorskip('ipykernel')


def test_nothing_of_a_run_is_stored():
    cells = json.loads(NOTEBOOK.read_text())['cells']
    for cell in cells:
        assert not cell.get('outputs') and cell.get('execution_count') is None
    assert [cell['metadata'].get('tags') for cell in cells].count(['parameters']) == 1


def test_it_runs(tmp_path, monkeypatch):
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    monkeypatch.setenv('PYTHONPATH', path)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = (c for c in notebook.cells if c.metadata.get('tags') == ['parameters'])
    for old, new in SHORTER.items():
        assert parameters.source.count(old) == 1
        parameters.source = parameters.source.replace(old, new)
    resources = {'metadata': {'path': str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()

    work = tmp_path / 'ten_minutes'
    assert (work / 'review.html').is_file()
    assert [node.name for node in onnx.load(work / 'network.onnx').graph.input] == ['image']
    assert (work / 'network/model.safetensors').is_file()
    outputs = [o for cell in notebook.cells for o in cell.get('outputs', ())]
    pictures = [o for o in outputs if 'image/png' in o.get('data', {})]
    assert len(pictures) == 5
    assert any('1 corrected, 11 as they were' in o.get('text', '') for o in outputs)
