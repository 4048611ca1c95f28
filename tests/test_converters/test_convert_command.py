"""``tools/model_converters/convert.py`` and the scripts of single methods."""

import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mmwsss.models import backbones
from mmwsss.models.utils.clip_weights import read_clip_file
from mmwsss.utils import load_checkpoint_file

# Of every method: keys of SRC, names in DST.
SMALL = {
    'acr': (
        ['net_main.conv1a.weight', 'net_main.dr1.weight', 'net_recon.fc9.weight'],
        ['classifier.backbone.conv1a.weight', 'reconstructor.decode_head.classifier.weight'],
    ),
    'afa': (
        ['encoder.norm4.bias', 'decoder.linear_pred.bias'],
        ['backbone.layers.3.2.bias', 'decode_head.conv_seg.bias'],
    ),
    'deeplab': (
        ['base.layer1.conv1.bn.bias', 'base.aspp.c0.bias'],
        ['backbone.bn1.bias', 'decode_head.convs.0.bias'],
    ),
    'excel': (
        ['encoder.visual.proj', 'decoder_fts_fuse.linear_fuse.bias', 'decoder.linear_pred.bias'],
        ['decode_head.fusion.bias', 'decode_head.classifier.bias'],
    ),
    'efficientnet_lite0': (
        ['_bn0.bias', '_blocks.0._bn1.bias', '_blocks.15._bn1.bias', '_conv_head.weight'],
        ['bn1.bias', 'blocks.0.0.bn1.bias', 'blocks.6.0.bn2.bias', 'conv_head.weight'],
    ),
    'irn_resnet50': (
        ['resnet50.conv1.weight', 'stage1.0.weight', 'classifier.weight'],
        ['backbone.conv1.weight', 'decode_head.classifier.weight'],
    ),
    'mctformer': (
        ['cls_token', 'pos_embed', 'norm.bias', 'blocks.0.norm1.bias', 'head.bias'],
        [
            'backbone.cls_token',
            'backbone.pos_embed',
            'backbone.blocks.0.norm1.bias',
            'decode_head.conv.bias',
        ],
    ),
    'one_stage': (
        ['conv1a.weight', 'last_conv.0.weight'],
        ['backbone.conv1a.weight', 'decode_head.last.0.weight'],
    ),
    'pmm': (
        ['backbone.layer4.2.bn3.bias', 'decode_head.bottleneck.bn.bias'],
        ['backbone.layer4.2.bn3.bias', 'decode_head.bottleneck.bn.bias'],
    ),
    'pmm_backbone': (
        ['conv1.0.weight', 'fc.bias', 'layer1.0.bns.0.bias', 'layer1.0.conv2.3.weight'],
        ['conv1.0.weight', 'layer1.0.bns.0.bias', 'layer1.0.conv2.3.weight'],
    ),
    'pmm_classifier': (
        ['bn7.bias', 'layer1.0.bn1.bias', 'f8_3.weight'],
        ['backbone.bn7.bias', 'backbone.layer1.0.bn1.bias', 'decode_head.f8_3.weight'],
    ),
    'psa': (['bn7.bias', 'f9.weight'], ['backbone.bn7.bias', 'decode_head.f9.weight']),
    'transcam': (
        ['cls_token', 'conv_trans_12.cnn_block.bn1.bias', 'conv_cls_head.bias'],
        [
            'backbone.cls_token',
            'backbone.conv_trans_12.cnn_block.bn1.bias',
            'decode_head.conv.bias',
        ],
    ),
    'weakclip': (
        ['contexts', 'backbone.fpn1.1.bias', 'backbone.proj', 'decode_head.conv_seg.bias'],
        ['prompts.contexts', 'adapter.levels.0.1.bias', 'decode_head.conv_seg.bias'],
    ),
    'weclip': (
        ['encoder.visual.proj', 'encoder.ln_final.bias', 'decoder.linear_pred.bias'],
        ['backbone.visual.proj', 'decode_head.classifier.bias'],
    ),
    'weclip_plus': (
        ['encoder.visual.proj', 'dino_encoder.norm.bias', 'dino_decoder_fts_fuse.linear_fuse.bias'],
        ['backbone.visual.proj', 'dino.vit.norm.bias', 'decode_head.dino_fusion.bias'],
    ),
}


def state_of(keys, prefix='module.'):
    return {f'{prefix}{key}': torch.full((2,), float(i)) for i, key in enumerate(keys)}


@pytest.fixture
def source(tmp_path):
    """A WeCLIP of three tensors."""
    path = tmp_path / 'official.pth'
    torch.save(state_of(SMALL['weclip'][0]), path)
    return path


def test_every_method_is_tested(command):
    assert set(command.METHODS) == {*SMALL, 'imagenet_init'}


@pytest.mark.parametrize('wrapped', [False, True], ids=['flat', 'under state_dict'])
@pytest.mark.parametrize('method', SMALL)
def test_every_method_converts_a_file(method, wrapped, command, tmp_path):
    keys, names = SMALL[method]
    src, dst = tmp_path / 'src.pth', tmp_path / 'new folder' / 'dst.pth'
    state = state_of(keys)
    torch.save(dict(state_dict=state, epoch=3) if wrapped else state, src)
    (line,) = command.convert(method, str(src), str(dst))
    whole = any({'backbone', 'decode_head'} & set(name.split('.')) for name in names)
    what = 'a whole network' if whole else 'weights of a backbone'
    if command.METHODS[method].frozen_backbone:
        what = 'what is trained of a network'
    assert line == f'{dst}: {len(names)} tensors, {what}'
    written = load_checkpoint_file(dst)
    written = written['state_dict'] if whole else written
    assert list(written) == names
    assert torch.equal(written[names[-1]], state[f'module.{keys[-1]}'])


def test_imagenet_weights_have_to_be_complete(command, tmp_path, monkeypatch):
    network = partial(backbones.ResNet38d, base_channels=1)
    monkeypatch.setattr(backbones, 'ResNet38d', network)
    state = {k: v for k, v in network().state_dict().items() if 'num_batches' not in k}
    src, dst = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    torch.save({**state, 'fc8.weight': torch.ones(1)}, src)
    (line,) = command.convert('imagenet_init', str(src), str(dst))
    assert line == f'{dst}: {len(state)} tensors, weights of a backbone'
    assert set(load_checkpoint_file(dst)) == set(state)
    del state['bn7.bias']
    torch.save(state, src)
    with pytest.raises(ValueError, match=r'src\.pth does not cover ResNet38d: 1 of .*: bn7\.bias'):
        command.convert('imagenet_init', str(src), str(dst))


def test_clip_of_weclip_is_one_that_the_backbone_reads(source, tmp_path, run_script):
    dst, clip = tmp_path / 'ours.pth', tmp_path / 'clip.safetensors'
    said = run_script('convert.py', 'weclip', source, dst, '--clip', clip).splitlines()
    assert said[0] == f'{dst}: 2 tensors, a whole network'
    assert said[1].startswith(f'{clip}: 2 tensors, the CLIP inside it; set model.backbone.check')
    state, quick_gelu = read_clip_file(clip)
    assert sorted(state) == ['ln_final.bias', 'visual.proj'] and quick_gelu is True


def test_suffix_of_the_target_tells_its_format(source, tmp_path, command):
    dst = tmp_path / 'ours.safetensors'
    command.convert('weclip', str(source), str(dst))
    with safe_open(dst, framework='pt') as file:
        assert sorted(file.keys()) == sorted(SMALL['weclip'][1])
    with pytest.raises(ValueError, match=r'--clip is written as safetensors.*clip\.pth'):
        command.convert('weclip', str(source), str(dst), clip=str(tmp_path / 'clip.pth'))


def test_nothing_is_overwritten(source, tmp_path, command):
    before = source.read_bytes()
    link = tmp_path / 'link.safetensors'
    link.symlink_to(source)
    dst = str(tmp_path / 'ours.safetensors')
    with pytest.raises(ValueError, match=r'DST is .* which is also SRC'):
        command.convert('weclip', str(source), str(link))
    with pytest.raises(ValueError, match=r'--clip is .* which is also SRC'):
        command.convert('weclip', str(source), dst, clip=str(link))
    with pytest.raises(ValueError, match='output file given more than once'):
        command.convert('weclip', str(source), dst, clip=f'{tmp_path}/./ours.safetensors')
    assert source.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ['link.safetensors', 'official.pth']


def test_all_files_are_written_or_none(source, tmp_path, command):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'Cannot write .*clip\.safetensors'):
        command.convert(
            'weclip',
            str(source),
            str(tmp_path / 'ours.pth'),
            clip=str(tmp_path / 'file' / 'clip.safetensors'),
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ['file', 'official.pth']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (torch.ones(2), 'holds a Tensor, not a state dict'),
        ({'state_dict': [torch.ones(2)]}, 'holds a list, not a state dict'),
        ({'conv1a.weight': torch.ones(2), 'epoch': 3, 7: 8}, r'2 of its 3 .*: epoch \(int\), 7 \('),
        ({}, 'holds no tensor of a backbone'),
        ({'fc8.weight': torch.ones(2)}, 'holds no tensor of a backbone'),
        ({'strange': torch.ones(2)}, 'not a checkpoint of PSA: 1 of 1 keys are unknown: strange'),
    ],
    ids=['tensor', 'list', 'other entries', 'nothing', 'head only', 'other network'],
)
def test_what_is_no_checkpoint_of_the_method_is_one_line(content, message, tmp_path, run_script):
    src, dst = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    torch.save(content, src)
    with pytest.raises(SystemExit, match=rf'^error: {src}.*{message}'):
        run_script('psa.py', src, dst)
    assert not dst.exists()


def test_damaged_and_missing_sources(tmp_path, run_script):
    src, dst = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    with pytest.raises(SystemExit, match=r'^error: .*src\.pth does not exist'):
        run_script('convert.py', 'psa', src, dst)
    src.write_bytes(b'PK\x03\x04')
    with pytest.raises(SystemExit, match=r'^error: .*src\.pth cannot be read as a checkpoint'):
        run_script('convert.py', 'psa', src, dst)


def test_scripts_of_the_methods_know_their_own_command_line(command, run_script, monkeypatch):
    seen = []
    monkeypatch.setattr(command, 'convert', lambda **arguments: seen.append(arguments) or ['done'])
    scripts = {path.stem for path in Path(command.__file__).parent.glob('*.py')} - {'convert'}
    assert len(scripts) == 7  # later methods have none of their own
    for method in scripts:
        assert run_script(f'{method}.py', 'a.pth', 'b.pth') == 'done\n'
        extras = dict.fromkeys(command.METHODS[method].extras)
        assert seen.pop() == dict(method=method, src='a.pth', dst='b.pth', **extras)
    run_script('weclip.py', 'a.pth', 'b.pth', '--clip', 'c.safetensors')
    assert seen.pop()['clip'] == 'c.safetensors'


def test_command_line_lists_methods_and_refuses_others(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['convert.py', '-h'])
    with pytest.raises(SystemExit):
        command.main()
    listed = capsys.readouterr().out
    assert all(method in listed for method in command.METHODS)
    for arguments in (['afaa', 'a', 'b'], ['psa', 'a', 'b', '--clip', 'c'], ['psa', 'a'], []):
        monkeypatch.setattr(sys, 'argv', ['convert.py', *arguments])
        with pytest.raises(SystemExit) as error:
            command.main()
        assert error.value.code == 2
    assert "invalid choice: 'afaa'" in capsys.readouterr().err
