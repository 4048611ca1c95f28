"""Find, read and build DINOv2 models."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmwsss.models.layers.dino_vit import DinoViT
from mmwsss.utils.checkpoint import load_checkpoint_file, state_in
from mmwsss.utils.checks import check_choice, some

MINI_DINO = Path(__file__).parents[2] / 'assets' / 'mini_dino.safetensors'
SIZES = {'dinov2_vits14': (384, 12), 'dinov2_vitb14': (768, 12), 'dinov2_vitl14': (1024, 24)}
NAMES = (*SIZES, *(f'{name}_reg' for name in SIZES))
_ADDRESS = 'https://dl.fbaipublicfiles.com/dinov2/{base}/{file}'


def weights_file(name: str) -> str:
    """File name of the released weights of one of :data:`NAMES`."""
    return f'{name}4_pretrain.pth' if name.endswith('_reg') else f'{name}_pretrain.pth'


def find_dino_weights(name: str) -> Path:
    """Path of released weights, looked for locally, then downloaded.

    Order: the folder ``MMWSSS_DINO_DIR``; the folder of ``torch.hub``; a download into the latter.

    Args:
        name: One of :data:`NAMES`.

    Raises:
        FileNotFoundError: There are none, with the ways to supply them.
    """
    file, hub = weights_file(name), Path(torch.hub.get_dir()) / 'checkpoints'
    folder = os.environ.get('MMWSSS_DINO_DIR')
    places = [Path(place) / file for place in (folder, hub) if place]
    for place in places:
        if place.is_file():
            return place
    address = _ADDRESS.format(base=name.removesuffix('_reg'), file=file)
    print_log(f'{file} is not on this machine; it is fetched from {address}', 'current')
    try:
        hub.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(places[-1]))
    except Exception as error:
        raise FileNotFoundError(
            f'The DINOv2 weights {file} were not found (looked at {", ".join(map(str, places))}) '
            f'and could not be downloaded ({type(error).__name__}). Get them from {address} and '
            'set model.dino.checkpoint to the file, or the environment variable MMWSSS_DINO_DIR '
            'to its folder.'
        ) from error
    return places[-1]


def build_dino(state: Mapping[str, Tensor], source: str = 'state dict') -> DinoViT:
    """Build the network that a state dict has the size of, and load it strictly.

    Width, depth, patch, table and registers come from the shapes; heads are width / 64.

    Args:
        state: Official key names. ``mask_token``, of which inference has no need, is left out.
        source: Named in errors.

    Raises:
        ValueError: The keys are not those of a DINOv2.
    """
    state = {k: v.float() for k, v in state.items() if k != 'mask_token'}
    try:
        width = state['cls_token'].shape[-1]
        model = DinoViT(
            embed_dims=width,
            num_layers=len({k.split('.')[1] for k in state if k.startswith('blocks.')}),
            num_heads=max(1, width // 64),
            patch_size=state['patch_embed.proj.weight'].shape[-1],
            table_size=round((state['pos_embed'].shape[1] - 1) ** 0.5),
            num_registers=state['register_tokens'].shape[1] if 'register_tokens' in state else 0,
        )
    except KeyError as error:
        raise ValueError(
            f'{source} is not a DINOv2 model: key {error} is missing; it holds {some(state)}'
        ) from error
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f'{source} does not fit the DINOv2 architecture: {error}') from error
    return model


def random_dino(name: str = 'dinov2_vits14', seed: int = 0) -> DinoViT:
    """A network with seeded random weights, for dry runs; says so loudly."""
    print_log(
        'DINO HAS RANDOM WEIGHTS (checkpoint="random"): results are meaningless. Use this only to '
        'try a configuration.',
        'current',
        level=logging.WARNING,
    )
    width, depth = SIZES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DinoViT(embed_dims=width, num_layers=depth, num_heads=width // 64)


def load_dino(checkpoint: str | os.PathLike | Mapping[str, Tensor]) -> DinoViT:
    """The network that a config value names, in evaluation mode.

    Args:
        checkpoint: One of :data:`NAMES`, ``'mini'`` (shipped with the package), ``'random'`` (the
            size of ``dinov2_vits14``, dry runs only), a file, or a state dict.

    Raises:
        FileNotFoundError, ValueError: Naming the file and the remedy.
    """
    if isinstance(checkpoint, Mapping):
        return build_dino(checkpoint).eval()
    if str(checkpoint) == 'random':
        return random_dino().eval()
    path = find_dino_file(checkpoint)
    return build_dino(state_in(load_checkpoint_file(path, 'cpu'), path), str(path)).eval()


def find_dino_file(checkpoint: str | os.PathLike) -> Path:
    """The file of weights that are named: one of :data:`NAMES`, ``'mini'``, or its own path.

    Raises:
        FileNotFoundError, ValueError: There is none; names the remedy.
    """
    name = str(checkpoint)
    if name.startswith('dinov2_') and not Path(name).suffix:
        check_choice('the DINOv2', name, NAMES)
        path = find_dino_weights(name)
    else:
        path = MINI_DINO if name == 'mini' else Path(checkpoint)
    if not path.is_file():
        raise FileNotFoundError(
            f'DINOv2 weights {path} do not exist; give a file, or one of {", ".join(NAMES)}, mini'
        )
    return path
