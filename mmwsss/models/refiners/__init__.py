from .clip_affinity import CLIPAffinityRefiner
from .par import PAR

__all__ = ['PAR', 'CLIPAffinityRefiner']
