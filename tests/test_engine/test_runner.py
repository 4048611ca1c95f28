"""What the runner refuses before it trains."""

import pytest
from mmengine.model import BaseModule

from mmwsss.engine.runner import StrictRunner


class SelfLoading(BaseModule):
    """As mmseg's ``TIMMBackbone`` with ``pretrained=True``."""

    def __init__(self, pretrained: bool, init_cfg: dict | None) -> None:
        super().__init__(init_cfg)
        self._is_init = pretrained


@pytest.mark.parametrize(
    ('pretrained', 'checkpoint', 'refused'),
    [(True, 'lite0.pth', True), (True, None, False), (False, 'missing.pth', False)],
)
def test_weights_that_would_not_be_looked_at(monkeypatch, pretrained, checkpoint, refused):
    init_cfg = checkpoint and dict(type='Pretrained', checkpoint=checkpoint)
    runner, initialised = StrictRunner.__new__(StrictRunner), []
    runner.model = BaseModule()
    runner.model.backbone = SelfLoading(pretrained, init_cfg)
    monkeypatch.setattr(BaseModule, 'init_weights', lambda module: initialised.append(module))
    if not refused:
        runner._init_model_weights()
        assert initialised == [runner.model]
        return
    with pytest.raises(ValueError, match=r'backbone \(SelfLoading\) .* init_cfg \(lite0\.pth\) .* '
                                         r'pretrained=False'):  # fmt: skip
        runner._init_model_weights()
    assert not initialised
