"""Find, read and build CLIP models without ever guessing weights or activations."""

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.logging import print_log
from open_clip import get_pretrained_cfg
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.pretrained import download_pretrained
from torch import Tensor

from ...utils.checkpoint import read_safetensors, state_in

MINI_CLIP = Path(__file__).parents[2] / 'assets' / 'mini_clip.safetensors'
_OPENAI_SHA256 = '5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f'
_OPENAI_NAME = 'ViT-B-16.pt'
_ARCHIVE_INTEGERS = ('input_resolution', 'context_length', 'vocab_size')
_VIT_B16 = dict(
    embed_dim=512,
    vision_cfg=CLIPVisionCfg(layers=12, width=768, patch_size=16, image_size=224),
    text_cfg=CLIPTextCfg(layers=12, width=512, heads=8),
)


def find_openai_weights() -> Path:
    """Path of OpenAI's ViT-B/16, looked for locally, then downloaded through open_clip.

    Order: the file in ``MMWSSS_CLIP_CKPT``; ``ViT-B-16.pt`` in the folder ``MMWSSS_CLIP_DIR``;
    ``~/.cache/clip/ViT-B-16.pt``; open_clip's own cache or download.

    Raises:
        FileNotFoundError: If there is none, with the ways to supply one.
    """
    named = os.environ.get('MMWSSS_CLIP_CKPT')
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f'MMWSSS_CLIP_CKPT points to {named}, which is not a file')
        return Path(named)
    folder = os.environ.get('MMWSSS_CLIP_DIR')
    places = [Path(folder) / _OPENAI_NAME] if folder else []
    places.append(Path.home() / '.cache' / 'clip' / _OPENAI_NAME)
    for place in places:
        if place.is_file():
            return place
    cfg = get_pretrained_cfg('ViT-B-16-quickgelu', 'openai')
    print_log('OpenAI CLIP ViT-B/16 is not on this machine; open_clip fetches it', 'current')
    try:
        return Path(download_pretrained(cfg))
    except Exception as error:
        looked = ', '.join(map(str, places))
        raise FileNotFoundError(
            f'The OpenAI CLIP weights {_OPENAI_NAME} were not found (looked at {looked}) and could '
            f'not be downloaded ({type(error).__name__}). Get the file from {cfg.get("url")} and '
            'pass it in one of three ways: set model.backbone.checkpoint in the config, set the '
            f'environment variable MMWSSS_CLIP_CKPT, or save it as {places[-1]}.'
        ) from error


def find_clip_file(checkpoint: str | Path) -> Path:
    """The file of CLIP weights that are named: ``'openai'``, ``'mini'`` or its own path.

    Raises:
        FileNotFoundError: There is none.
    """
    known = {'openai': find_openai_weights, 'mini': lambda: MINI_CLIP}
    path = known.get(str(checkpoint), lambda: Path(checkpoint))()
    if not path.is_file():
        raise FileNotFoundError(
            f'CLIP weights {path} do not exist; give a file, or openai or mini for those that '
            'are known'
        )
    return path


def read_clip_file(path: str | Path) -> tuple[dict[str, Tensor], bool | None]:
    """Read a CLIP checkpoint: safetensors, OpenAI's TorchScript archive or a state dict.

    Pickled objects other than tensors are refused.

    Returns:
        The state dict and whether the model uses quick-GELU, None if the file does not tell.

    Raises:
        FileNotFoundError, ValueError: Naming the file and what is wrong with it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'CLIP checkpoint {path} does not exist')
    if path.suffix == '.safetensors':
        state, said = read_safetensors(path)
        flag = said.get('quick_gelu')
        return state, None if flag is None else flag == 'true'
    try:
        state, quick_gelu = torch.jit.load(str(path), map_location='cpu').state_dict(), True
    except RuntimeError:
        state, quick_gelu = _read_state_dict(path), None
        if hashlib.sha256(path.read_bytes()).hexdigest() == _OPENAI_SHA256:
            quick_gelu = True
    return dict(state), quick_gelu


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise ValueError(
            f'{path} is neither a TorchScript archive nor a plain state dict of tensors '
            f'({type(error).__name__}); pickled objects are refused. Pass the OpenAI archive, a '
            'safetensors file or a state dict saved with torch.save'
        ) from error
    state = state_in(state, path)
    return {k.removeprefix('module.'): v for k, v in state.items()}


def build_clip(state: Mapping[str, Tensor], quick_gelu: bool, source: str = 'state dict') -> CLIP:
    """Build open_clip's ``CLIP`` of the size that a state dict has and load it strictly.

    Widths, depths and patch size come from the shapes; heads are width / 64 in both towers (at
    least 1), as in every OpenAI ViT.

    Args:
        state: OpenAI's (= open_clip's) key names.
        quick_gelu: Activation ``x * sigmoid(1.702 x)`` instead of GELU.
        source: Named in errors.

    Raises:
        ValueError: If the keys are not those of a CLIP with a vision transformer.
    """
    state = {k: v.float() for k, v in state.items() if k not in _ARCHIVE_INTEGERS}
    try:
        width, _, patch, _ = state['visual.conv1.weight'].shape
        grid = round((state['visual.positional_embedding'].shape[0] - 1) ** 0.5)
        context_length, text_width = state['positional_embedding'].shape
        vocab_size = state['token_embedding.weight'].shape[0]
        vision = CLIPVisionCfg(
            layers=_depth(state, 'visual.transformer.resblocks.'),
            width=width,
            patch_size=patch,
            image_size=grid * patch,
        )
        text = CLIPTextCfg(
            layers=_depth(state, 'transformer.resblocks.'),
            width=text_width,
            heads=max(1, text_width // 64),
            context_length=context_length,
            vocab_size=vocab_size,
        )
        model = CLIP(state['visual.proj'].shape[1], vision, text, quick_gelu=quick_gelu)
    except KeyError as error:
        raise ValueError(
            f'{source} is not a CLIP model with a vision transformer: key {error} is missing. '
            'Expected the keys of the OpenAI ViT checkpoints'
        ) from error
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f'{source} does not fit the CLIP architecture: {error}') from error
    return model


def _depth(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({k[len(prefix) :].split('.')[0] for k in state if k.startswith(prefix)})


def random_clip(seed: int = 0) -> CLIP:
    """ViT-B/16 with seeded random weights, for dry runs; says so loudly."""
    print_log(
        'CLIP HAS RANDOM WEIGHTS (checkpoint="random"): pseudo masks and results are meaningless. '
        'Use this only to try a configuration.',
        'current',
        level=logging.WARNING,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIP(**_VIT_B16, quick_gelu=True)


def load_clip(
    checkpoint: str | Path | Mapping[str, Tensor], quick_gelu: bool | None = None
) -> CLIP:
    """Build the CLIP model that a config value names.

    Args:
        checkpoint: ``'openai'`` (ViT-B/16, see :func:`find_openai_weights`), ``'mini'`` (shipped
            with the package), ``'random'`` (ViT-B/16 size, dry runs only), a file (see
            :func:`read_clip_file`) or a state dict.
        quick_gelu: Activation; None reads it from the file.

    Returns:
        The model in evaluation mode.

    Raises:
        FileNotFoundError, ValueError: Naming the file and the remedy.
    """
    if isinstance(checkpoint, Mapping):
        state, known, source = checkpoint, None, 'the given state dict'
    elif str(checkpoint) == 'random':
        return random_clip().eval()
    else:
        source = find_clip_file(checkpoint)
        state, known = read_clip_file(source)
        if str(checkpoint) == 'openai':
            known = True
    if quick_gelu is None:
        if known is None:
            raise ValueError(
                f'{source} does not tell its activation: set quick_gelu=True for weights released '
                'by OpenAI, False for LAION and most other weights'
            )
        quick_gelu = known
    elif known is not None and known != quick_gelu:
        raise ValueError(f'quick_gelu={quick_gelu} contradicts {source}, which was trained '
                         f'with quick_gelu={known}')  # fmt: skip
    return build_clip(state, quick_gelu, str(source)).eval()
