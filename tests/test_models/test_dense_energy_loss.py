import torch

from mmwsss.ops.losses.dense_energy import dense_energy_loss
from mmwsss.registry import MODELS


def test_module_takes_logits_and_weighs_the_loss():
    torch.manual_seed(0)
    images, logits = torch.rand(2, 3, 16, 16) * 255, torch.randn(2, 4, 16, 16)
    label, box = torch.randint(0, 2, (2, 16, 16)) * 255, torch.tensor([[0, 16, 0, 9]] * 2)
    module = MODELS.build(dict(type='mmwsss.DenseEnergyLoss', loss_weight=0.5, sigma_xy=50.0))
    expected = 0.5 * dense_energy_loss(logits.softmax(1), images, label, box, sigma_xy=50.0)
    torch.testing.assert_close(module(logits, images, label, box), expected)
