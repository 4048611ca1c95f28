"""Rules of constructor arguments: each by hand, and that no registered class forgets one."""

import importlib
import inspect
import pickle
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from mmengine.registry import Registry

from mmwsss import registry
from mmwsss.registry import DATASETS, HOOKS, METRICS, MODELS, PARAM_SCHEDULERS, TRANSFORMS
from mmwsss.utils import register_all_modules
from mmwsss.utils.arguments import (
    CLASSES,
    COUNT,
    FLAG,
    FOREGROUND,
    GREY,
    INTEGER,
    NUMBER,
    POSITIVE,
    SHARE,
    SIZE,
    TEXT,
    WEIGHT,
    WHOLE,
    checked,
    number,
    one_of,
    pair,
    rules_of,
    several,
    single_or_several,
)

NAN, INF = float('nan'), float('inf')


@pytest.mark.parametrize(
    'rule, good, bad',
    [
        (FLAG, [True, False], [0, 1, 'no', None, []]),
        (TEXT, ['', 'a'], [1, None, ['a'], NAN]),
        (NUMBER, [-1, 0.5, np.float32(2)], [NAN, INF, '1', True, None]),
        (INTEGER, [-1, 0, np.int64(2)], [0.0, NAN, '1', False, None]),
        (COUNT, [1, 999], [0, -1, 1.0, NAN, None]),
        (WHOLE, [0, 7], [-1, 0.5, None]),
        (SHARE, [0, 0.5, 1], [-0.1, 1.1, 2.0, NAN, INF, '0.5']),
        (POSITIVE, [1e-9, 3], [0, -1, INF]),
        (WEIGHT, [0, 3.0], [-1e-9, INF, [1]]),
        (GREY, [0, 127.5, 255], [-1, 256]),
        (SIZE, [1, (3, 4), [3, 4]], [0, (3,), (3, 0), (1, 2, 3), [], '34', 2.5]),
        (FOREGROUND, [1, 254], [0, 255]),
        (CLASSES, [1, 255], [0, 256]),
        (number(0, 1, open_low=True, open_high=True), [0.5], [0, 1]),
        (one_of('a', 'b'), ['a'], ['c', NAN, None, 0]),
        (one_of(0, 255), [0, 255], [1, '0']),
        (several(COUNT), [[1], (1, 2)], [[], 1, '12', [0], [1, None], {1: 2}]),
        (several(COUNT, 2), [(1, 2)], [(1,), (1, 2, 3)]),
        (several(COUNT, least=0), [(), [3]], [None, 3, [NAN]]),
        (pair(POSITIVE), [(1, 2), [2, 2]], [(2, 1), (0, 1), (1,), (1, NAN), 1]),
        (single_or_several(GREY), [3, (1, 2, 3)], [[], 'x', (1, 256)]),
    ],
)
def test_rule(rule, good, bad):
    for value in good:
        rule('Class.argument', value)
    for value in bad:
        with pytest.raises(ValueError, match=r'^Class\.argument(\[\d\])? must be '):
            rule('Class.argument', value)


@checked(channels=COUNT, rate=SHARE, width=COUNT)
class Base:
    """A class with rules."""

    def __init__(self, channels, rate: float = 0.5, scale: 'float | None' = 3, **kwargs) -> None:
        self.values = (channels, rate, scale, kwargs)


@checked(scale=POSITIVE)
class Child(Base):
    """A class with one rule more and the constructor of its base."""


def test_messages_name_the_class_that_is_built_and_the_argument():
    with pytest.raises(ValueError, match=r'^Base\.channels must be a whole number in .*, got 0$'):
        Base(0)
    with pytest.raises(ValueError, match=r'^Child\.rate must be a number in \[0, 1\], got nan$'):
        Child(3, rate=NAN)
    with pytest.raises(ValueError, match=r'^Child\.width must be '):
        Child(3, width='wide')  # among **kwargs


def test_what_passes_reaches_the_constructor_unchanged():
    assert Base(3, 1, None, width=2).values == (3, 1, None, {'width': 2})
    assert Child(3, scale=None).values == (3, 0.5, None, {})  # None is in the annotation
    assert pickle.loads(pickle.dumps(Child(4))).values == (4, 0.5, 3, {})


def test_none_is_refused_where_the_signature_does_not_name_it():
    with pytest.raises(ValueError, match=r'^Base\.rate must be a number, got None'):
        Base(3, rate=None)


def test_signature_and_missing_arguments_are_those_of_the_constructor():
    assert list(inspect.signature(Child).parameters) == ['channels', 'rate', 'scale', 'kwargs']
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'channels'"):
        Base()


def test_rules_are_inherited():
    assert set(rules_of(Child)) == {'channels', 'rate', 'width', 'scale'}
    assert set(rules_of(Base)) == {'channels', 'rate', 'width'}


def test_data_classes_are_checked():
    @checked(share=SHARE)
    @dataclass(frozen=True)
    class Task:
        share: float = 0.5

    with pytest.raises(ValueError, match=r'Task\.share must be'):
        Task(2)
    assert Task() == Task(0.5)


def test_a_rule_for_no_argument_is_an_error():
    with pytest.raises(TypeError, match='has no argument shaer'):

        @checked(shaer=SHARE)
        class _Typo:
            def __init__(self, share: float) -> None: ...


# --- every class that the package registers


class Argument(NamedTuple):
    """An argument of a registered class."""

    cls: type
    parameter: inspect.Parameter

    @property
    def name(self) -> str:
        return self.parameter.name

    def build(self, value: object) -> None:
        """Run the constructor with nothing but this argument."""
        self.cls.__init__(self.cls.__new__(self.cls), **{self.name: value})


def _arguments() -> list[Argument]:
    """Numbers, flags and words that constructors of this package take."""
    register_all_modules(init_default_scope=False)
    importlib.import_module('mmwsss.stages')
    found = {}
    for node in vars(registry).values():
        if isinstance(node, Registry):
            for cls in node.module_dict.values():
                if cls.__module__.startswith('mmwsss.'):
                    found.update({(cls, p.name): Argument(cls, p) for p in _parameters(cls)})
    return list(found.values())


def _parameters(cls: type) -> list[inspect.Parameter]:
    init = inspect.unwrap(cls.__init__)
    if not getattr(init, '__module__', '').startswith(
        'mmwsss.'
    ):  # a constructor of mmengine or mmseg
        return []
    parameters = inspect.signature(init).parameters.values()
    return [p for p in parameters if _wants_a_rule(str(p.annotation))]


def _wants_a_rule(annotation: str) -> bool:
    simple = re.fullmatch(r"(<class ')?str('>)?( \| None)?", annotation)
    return bool(simple or re.search(r'\b(int|float|bool)\b', annotation))


ARGUMENTS = _arguments()


def test_the_arguments_are_found():
    names = {f'{a.cls.__name__}.{a.name}' for a in ARGUMENTS}
    assert len(names) > 200
    assert names >= {'AFA.high', 'PAR.resize', 'MixVisionTransformerAttn.norm_frozen'}
    assert names >= {'RandomPadCrop.crop_size', 'LowHighFromCAMs.stride', 'PolyWarmupLR.power'}


@pytest.mark.parametrize(
    'argument', ARGUMENTS, ids=lambda argument: f'{argument.cls.__name__}.{argument.name}'
)
def test_every_argument_has_a_rule(argument):
    """A new argument wants its rule: ``@checked(argument=...)`` above the class."""
    assert argument.name in rules_of(argument.cls)
    for value in (NAN, object(), b''):
        with pytest.raises(ValueError, match=rf'^{argument.cls.__name__}\.{argument.name}\b'):
            argument.build(value)
    default = argument.parameter.default
    if default not in (None, inspect.Parameter.empty):
        rules_of(argument.cls)[argument.name]('default', default)


# What was taken in silence, or failed far from its cause, when nothing declared a range.
REFUSED = [
    (TRANSFORMS, 'ColorJitter', dict(hue=[0.6], brightness=[-0.1], contrast=['x'])),
    (TRANSFORMS, 'RandomResizeLong', dict(long_range=[(256.5, 512), (0, 3), (9, 3), (3,)])),
    (TRANSFORMS, 'IntHSVJitter', dict(delta=[-1, 1.5, 256])),
    (TRANSFORMS, 'RandomPadCrop', dict(crop_size=[0, 32.0, (3, 'x')], pad_val=[300, -1, []])),
    (TRANSFORMS, 'RandomPadCropScores', dict(crop_size=[-1], pad_label=[1, 254])),
    (TRANSFORMS, 'RandomScaleCV2', dict(scale_range=[(0, 1), (2, 1)], scales=[[], [0.0]])),
    (TRANSFORMS, 'RandomScalePIL', dict(scale_range=[(0, 1), (2, 1), (1, INF)])),
    (TRANSFORMS, 'RandomResizedCropPIL', dict(scale=[(0.5, 2.0)], ratio=[(0, 1)])),
    (TRANSFORMS, 'RandomErasingNoise', dict(prob=[2.0], std=[(1, 0, 1)], mean=[(1, 2)])),
    (PARAM_SCHEDULERS, 'PolyWarmupLR', dict(power=[-1], warmup_ratio=[2.0], extra_iters=[-1])),
    (PARAM_SCHEDULERS, 'StepwisePolyLR', dict(interval=[0], power=[-1], max_iters=[0])),
    (HOOKS, 'FreezeBackbone', dict(frozen=['conv1'], norm_eval=['no'])),
    (METRICS, 'WSSSIoUMetric', dict(classwise=['no'], field=[7])),
    (METRICS, 'PseudoMaskWriter', dict(field=['pred_seg'])),
    (DATASETS, 'ImageLabelDataset', dict(masks=['no'], cam_dir=[3])),
    (MODELS, 'MixVisionTransformerAttn', dict(strides=[[0]], drop_path_rate=[2.0])),
    (MODELS, 'ResNet38d', dict(base_channels=[0], dropout=[(0.3,), (0.3, 2.0)], bn_momentum=[2])),
    (MODELS, 'VGG16d', dict(dropout=[2.0], fc6_dilation=[0], out_indices=[[], [4]])),
    (MODELS, 'AffinityHead', dict(radius=[1, 0], channels=[[], [0]], shrink_radius=['no'])),
    (MODELS, 'AttentionAffinityHead', dict(radius=[-1], in_channels=[0])),
    (MODELS, 'CAMHead', dict(dropout_ratio=[2.0], power=[0, -1], num_classes=[0])),
    (MODELS, 'LargeFOVHead', dict(dilations=[[], [0]], dropout_ratios=[(0.5, 2)])),
    (MODELS, 'LargeFOVHead', dict(num_classes=[256])),  # an argument of the base class
    (MODELS, 'OneStageHead', dict(dropout=[(0.5,)], focal_power=[-1], focal_offset=[0])),
    (MODELS, 'SumASPPHead', dict(dilations=[[]], num_classes=[256])),
    (MODELS, 'TwoDilatedConvHead', dict(dilation=[0], num_classes=[256])),
    (MODELS, 'WeCLIPHead', dict(dropout_ratio=[2.0], num_blocks=[-1], affinity_radius=[-1])),
    (MODELS, 'WeCLIPPlusHead', dict(confident=[2.0], consistency_weight=[-1])),
    (MODELS, 'AffinityLoss', dict(loss_weight=[-1])),
    (MODELS, 'BalancedCrossEntropy', dict(smoothing=[1.0, -0.1], loss_weight=[-1])),
    (MODELS, 'DenseEnergyLoss', dict(sigma_rgb=[0], sigma_xy=[-1], scale_factor=[0, 2.0])),
    (MODELS, 'PairAffinityLoss', dict(negative_weight=[-0.5])),
    (MODELS, 'CLIPAffinityRefiner', dict(static_last=[0], gated_last=[-2], box_threshold=[2.0])),
    (MODELS, 'PAMR', dict(dilations=[[], [0]], iterations=[-1], resize=['mask'])),
    (MODELS, 'PAR', dict(dilations=[[1.5]], iterations=[2.5], resize=['images'])),
    (MODELS, 'AFA', dict(high=[2.0], low=[-0.1], cam_scales=[[], [1.0, 0]], refined_start=[-1])),
    (MODELS, 'DeepLab', dict(msc_scales=[[0.5, 0], 0.5])),
    (MODELS, 'ExCEL', dict(self_target_start=[-1, 2.5])),
    (MODELS, 'OneStage', dict(label_low=[2.0], label_foreground=[-1], mask_loss_start=[-1])),
    (MODELS, 'WeakCLIP', dict(score_weight=[-1], out_indices=[[]])),
    (MODELS, 'MultiClassTokenViT', dict(num_heads=[0], drop_path_rate=[1.0], num_classes=[0])),
    (MODELS, 'AttributeTextBank', dict(seed=[-1, 0.5], top=[0, 1.5])),
]


@pytest.mark.parametrize(
    'node, name, arguments', REFUSED, ids=[f'{name}-{next(iter(bad))}' for _, name, bad in REFUSED]
)
def test_values_out_of_range_are_refused(node, name, arguments):
    cls = node.get(f'mmwsss.{name}')
    for argument, values in arguments.items():
        for value in values:
            with pytest.raises(ValueError, match=rf'^{name}\.{argument}(\[\d\])? must be '):
                cls(**{argument: value})
