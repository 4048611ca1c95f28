import pytest
import torch
from mmengine.optim import OptimWrapper, PolyLR
from mmengine.runner import Runner

from mmwsss.engine.schedulers import PolyWarmupLR
from mmwsss.ops.schedules import poly_warmup_factor


@pytest.mark.parametrize('length', [{'max_iters': 12}, {}, {'extra_iters': 2}])
def test_every_training_iteration_uses_its_factor(tmp_path, length):
    """Without ``max_iters`` the length is that of the training."""
    from mmengine.hooks import Hook
    from mmengine.model import BaseModel

    class Model(BaseModel):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, inputs, mode):
            return dict(loss=(self.weight * inputs).sum())

    class Rates(Hook):
        seen = []

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            self.seen.append(runner.optim_wrapper.param_groups[0]['lr'])

    model = Model()
    Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=torch.utils.data.DataLoader(
            [dict(inputs=torch.ones(1))] * 12, collate_fn=lambda batch: batch[0]
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=12),
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)),
        param_scheduler=[
            dict(type='mmwsss.PolyWarmupLR', **length, warmup_iters=4, by_epoch=False)
        ],
        custom_hooks=[Rates()],
        default_scope='mmseg',
        experiment_name=f'poly_warmup{length}',
    ).train()
    whole = 12 + length.get('extra_iters', 0)
    assert Rates.seen == pytest.approx([0.1 * poly_warmup_factor(t, whole, 4) for t in range(12)])


def test_epochs_are_refused():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(ValueError, match='by_epoch=False'):
        PolyWarmupLR(optimizer, max_iters=10)
    with pytest.raises(ValueError, match='needs max_iters or end'):
        PolyWarmupLR(optimizer, by_epoch=False)


def test_the_lowest_rate_is_that_of_mmengine():
    """As ``PolyLR`` with ``eta_min``, but that the end is one iteration later."""
    rates = []
    for kind, length in ((PolyWarmupLR, dict(max_iters=11)), (PolyLR, dict(end=12))):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.005)
        low = dict(min_lr=1e-4, warmup_iters=0) if kind is PolyWarmupLR else dict(eta_min=1e-4)
        scheduler = kind(optimizer, power=0.9, by_epoch=False, **low, **length)
        rates.append([])
        for _ in range(11):
            rates[-1].append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            scheduler.step()
    assert rates[0] == pytest.approx(rates[1]) and rates[0][-1] > 1e-4
    assert rates[0][5] == pytest.approx(1e-4 + 0.0049 * (1 - 5 / 11) ** 0.9)
