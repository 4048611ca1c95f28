"""The one loop of all converters."""

import re

import pytest

from mmwsss.converters.rename import from_zero, prefixed, rename_keys

RULES = (
    (r'layer(\d)\.', from_zero('stages.{}.')),
    (r'block(\d)\.(\d+)\.(attn|mlp)\.', from_zero('blocks.{}.{}.{}.')),
    (r'(stem)(\d)\.', r'\1.\2.'),
    (r'fc\.(?=weight$)', 'head.classifier.'),
    (r'fc', 'other'),
)


def test_first_matching_rule_renames_the_start_and_keeps_the_rest():
    keys = ['layer4.0.conv1.weight', 'block2.11.attn.q', 'stem1.bias', 'fc.weight', 'fc.bias']
    assert rename_keys({key: key for key in keys}, RULES) == {
        'stages.3.0.conv1.weight': 'layer4.0.conv1.weight',
        'blocks.1.11.attn.q': 'block2.11.attn.q',
        'stem.1.bias': 'stem1.bias',
        'head.classifier.weight': 'fc.weight',
        'other.bias': 'fc.bias',
    }


def test_order_is_that_of_the_state_dict_and_the_state_dict_stays_as_it_was():
    state = {'stem2.bias': 1, 'layer1.bias': 2}
    assert list(rename_keys(state, RULES)) == ['stem.2.bias', 'stages.0.bias']
    assert list(state) == ['stem2.bias', 'layer1.bias']


def test_patterns_match_at_the_beginning_of_a_key_only():
    with pytest.raises(ValueError, match=r'1 of 1 keys are unknown: encoder\.layer1\.bias'):
        rename_keys({'encoder.layer1.bias': 0}, RULES)


def test_prefix_of_parallel_training_is_ignored():
    assert rename_keys({'module.stem1.bias': 0, 'stem2.bias': 1}, RULES) == {
        'stem.1.bias': 0,
        'stem.2.bias': 1,
    }


def test_names_and_patterns_are_dropped_if_they_are_the_whole_key():
    state = dict.fromkeys(['stem1.bias', 'fc.bias', 'module.aux.a', 'aux.b'])
    assert list(rename_keys(state, RULES, ['fc.bias', r'aux\..*'])) == ['stem.1.bias']
    assert list(rename_keys({'fc.bias_mask': 0}, RULES, ['fc.bias'])) == ['other.bias_mask']
    with pytest.raises(ValueError, match=r'unknown: aux\.b'):
        rename_keys({'aux.b': 0}, RULES, ['aux'])


def test_all_unknown_keys_are_counted_and_five_named():
    state = {'stem1.bias': 0, **{f'strange.{i}': 0 for i in range(7)}, 'fc.bias': 0}
    names = re.escape('strange.0, strange.1, strange.2, strange.3, strange.4, ...')
    text = f'^this is not a checkpoint of Foo: 7 of 9 keys are unknown: {names}$'
    with pytest.raises(ValueError, match=text):
        rename_keys(state, RULES, what='Foo')
    with pytest.raises(ValueError, match=r'unknown: module\.x$'):
        rename_keys({'module.x': 0}, RULES)


@pytest.mark.parametrize(
    'keys', [('fc.bias', 'fcx'), ('stem1.bias', 'module.stem1.bias'), ('layer1.x', 'stages.0.x')]
)
def test_two_keys_for_one_name_are_refused(keys):
    rules = (('fcx', 'other.bias'), *RULES, (r'stages\.', r'\g<0>'))
    with pytest.raises(ValueError, match=f'of Foo: {keys[0]} and {keys[1]} would both become'):
        rename_keys(dict.fromkeys(keys, 0), rules, what='Foo')


def test_rules_of_a_part_see_their_own_match():
    part = (('a|b', r'\g<0>x'), (r'layer(\d)', from_zero('stage{}')))
    whole = prefixed(part, r'(enc|dec)\.', 'body.')
    state = dict.fromkeys(['enc.a.bias', 'dec.b.bias', 'enc.layer2.bias'])
    assert list(rename_keys(state, whole)) == ['body.ax.bias', 'body.bx.bias', 'body.stage1.bias']
    assert list(rename_keys({'b.w': 0, 'base.a.w': 0}, prefixed(part, r'(?:base\.)?', ''))) == [
        'bx.w',
        'ax.w',
    ]
    with pytest.raises(ValueError, match=r'2 of 3 keys are unknown: b\.bias, layer1\.bias$'):
        rename_keys({'enc.a': 0, 'b.bias': 0, 'layer1.bias': 0}, whole)


def test_nothing_becomes_nothing():
    assert rename_keys({}, RULES) == {}
