"""Official checkpoints of ACR in our names."""

from collections.abc import Mapping
from functools import partial

from torch import Tensor

from .rename import Rule, from_zero, not_of, prefixed, rename_keys
from .state import read_state

_NETWORK: tuple[Rule, ...] = (
    (r'(?:conv1a|b[2-7](?:_\d)?|bn7)\.', r'backbone.\g<0>'),
    (r'fc8\.(?=weight$)', 'decode_head.reduction.'),
    (r'fc9\.(?=weight$)', 'decode_head.classifier.'),
)
_PAINTING: tuple[Rule, ...] = (
    (r'dr1\.(?=weight$)', 'reductions.0.'),
    (r'dr2\.(?=weight$)', 'reductions.1.'),
    (r'fc_recon\.(?=weight$)', 'reductions.2.'),
    (r'genUnet\.down(\d)\.model\.', from_zero('generator.downs.{}.')),
    (r'genUnet\.up(\d)\.model\.', from_zero('generator.ups.{}.')),
    (r'genUnet\.final\.', 'generator.final.'),
)
_RULES = (
    *prefixed(_NETWORK, r'net_main\.', 'classifier.'),
    *prefixed((*_NETWORK, *_PAINTING), r'net_recon\.', 'reconstructor.'),
)
_DROPPED = (r'net_main\.(?:dr[12]|fc_recon|genUnet)\..*',)  # the classifier never paints
_WHAT = 'ACR (sangrockEG/ACR)'
# what PyTorch Lightning 1.3 writes beside the weights
STUBS = ('argparse.Namespace', 'pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint')

read_acr = partial(read_state, stubs=STUBS)
"""State dict of a Lightning checkpoint, which holds arguments and a callback class beside it."""


def convert_acr(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official ACR state dict: both networks.

    What ``net_main`` holds and never uses is left out: ``dr1``, ``dr2``, ``fc_recon``, ``genUnet``.

    Args:
        official: Of a Lightning checkpoint (:func:`read_acr`).

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.ACR`.

    Raises:
        ValueError: A key is unknown, or one of the networks is missing.
    """
    converted = rename_keys(official, _RULES, _DROPPED, _WHAT)
    for theirs, ours in (('net_main', 'classifier'), ('net_recon', 'reconstructor')):
        if not any(key.startswith(f'{ours}.') for key in converted):
            raise not_of(_WHAT, f'{theirs}.* is missing')
    return converted
