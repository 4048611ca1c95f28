from .clip_affinity import CLIPAffinityRefiner
from .pamr import PAMR
from .par import PAR

__all__ = ['PAMR', 'PAR', 'CLIPAffinityRefiner']
