"""Registries of mmwsss: one child for every registry of MMSegmentation.

Scope ``mmwsss`` with the mmseg node of the same name as parent: an unprefixed name
resolves mmwsss -> mmseg -> mmengine, and ``mmwsss.X`` resolves from mmseg's own tools.
Looking a name up in a parent does not import the parent's modules, so both packages'
locations are listed.
"""

from mmengine.registry import Registry
from mmseg import registry as mmseg_registry


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(mmseg_registry, name)
    return Registry(parent.name, parent=parent, scope='mmwsss', locations=list(locations))


RUNNERS = _child('RUNNERS')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS')
LOOPS = _child('LOOPS')
HOOKS = _child('HOOKS', 'mmseg.engine', 'mmwsss.engine')

DATASETS = _child('DATASETS', 'mmseg.datasets', 'mmwsss.datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'mmwsss.datasets')
TRANSFORMS = _child('TRANSFORMS', 'mmseg.datasets.transforms', 'mmwsss.datasets.transforms')

MODELS = _child('MODELS', 'mmseg.models', 'mmwsss.models')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'mmseg.models')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'mmseg.models', 'mmwsss.models')

OPTIMIZERS = _child('OPTIMIZERS', 'mmseg.engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'mmseg.engine', 'mmwsss.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'mmseg.engine', 'mmwsss.engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'mmseg.engine', 'mmwsss.engine')

METRICS = _child('METRICS', 'mmseg.evaluation', 'mmwsss.evaluation')
EVALUATOR = _child('EVALUATOR', 'mmseg.evaluation')

TASK_UTILS = _child('TASK_UTILS', 'mmseg.models', 'mmwsss.stages')

VISUALIZERS = _child('VISUALIZERS', 'mmseg.visualization', 'mmwsss.visualization')
VISBACKENDS = _child('VISBACKENDS', 'mmseg.visualization')

LOG_PROCESSORS = _child('LOG_PROCESSORS', 'mmseg.visualization')

INFERENCERS = _child('INFERENCERS', 'mmseg.apis')
