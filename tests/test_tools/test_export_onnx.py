from pathlib import Path

import onnx
import pytest

CONFIGS = Path(__file__).parents[2] / 'configs'


def test_command(run_tool, tmp_path):
    config = CONFIGS / 'segmentation/deeplabv1_resnet38_mini.py'
    args = ('none', '--size', 32, 48, '--out', 'x.onnx', '--output', 'labels')
    done = run_tool('export_onnx.py', config, *args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'x.onnx: labels, any batch and size; ONNX Runtime differs by' in done.stdout
    graph = onnx.load(tmp_path / 'x.onnx').graph
    assert [node.name for node in (*graph.input, *graph.output)] == ['image', 'labels']


@pytest.mark.parametrize(
    'config, message',
    [
        ('wsss/clip_es_mini.py', 'error: CLIPES makes maps for given image labels'),
        ('none.py', 'error: Config'),
    ],
)
def test_errors_are_one_line(run_tool, tmp_path, config, message):
    done = run_tool('export_onnx.py', CONFIGS / config, 'none', cwd=tmp_path)
    assert done.returncode == 1 and message in done.stderr
    assert 'Traceback' not in done.stderr
