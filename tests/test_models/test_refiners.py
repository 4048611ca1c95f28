import torch

from mmwsss.ops.pixel_adaptive import pamr, pixel_adaptive_refine
from mmwsss.registry import MODELS


def test_modules_pass_their_settings_on():
    image, scores = torch.rand(1, 3, 12, 12), torch.rand(1, 2, 6, 6)
    for name, refine in (('PAR', pixel_adaptive_refine), ('PAMR', pamr)):
        cfg = dict(type=f'mmwsss.{name}', dilations=[1, 2], iterations=3, resize='masks')
        module = MODELS.build(cfg)
        refined = module(image, scores.requires_grad_())
        assert torch.equal(refined, refine(image, scores, (1, 2), 3, resize='masks'))
        assert refined.shape == (1, 2, 12, 12) and not refined.requires_grad
        assert not list(module.parameters()) and not module.state_dict()
