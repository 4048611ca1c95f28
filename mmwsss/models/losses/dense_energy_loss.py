"""Dense energy loss."""

from torch import Tensor, nn

from mmwsss.ops.losses.dense_energy import dense_energy_loss
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import POSITIVE, WEIGHT, checked, number


@MODELS.register_module()
@checked(
    loss_weight=WEIGHT,
    weight=WEIGHT,
    sigma_xy=POSITIVE,
    sigma_rgb=POSITIVE,
    scale_factor=number(0, 1, open_low=True),
)
class DenseEnergyLoss(nn.Module):
    """See :func:`mmwsss.ops.losses.dense_energy.dense_energy_loss`.

    Args:
        loss_weight: Factor: 0.01 (AFA), 0.05 (ToCo, SeCo).
        weight: Factor of the energy itself.
        sigma_xy, sigma_rgb: Standard deviations in pixels and grey levels.
        scale_factor: Size of the maps that the energy is computed on.
    """

    def __init__(
        self,
        loss_weight: float = 0.01,
        weight: float = 1e-7,
        sigma_xy: float = 100.0,
        sigma_rgb: float = 15.0,
        scale_factor: float = 0.5,
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.options = dict(
            weight=weight, sigma_xy=sigma_xy, sigma_rgb=sigma_rgb, scale_factor=scale_factor
        )

    def forward(
        self, seg_logits: Tensor, images: Tensor, label: Tensor, box: Tensor | None = None
    ) -> Tensor:
        """Logits ``(B, C, H, W)``, images ``(B, 3, H, W)`` in [0, 255], label ``(B, H, W)`` with
        255 on ignored pixels, and boxes ``(B, 4)`` of the images within the crops -> scalar.
        """
        prob = seg_logits.float().softmax(dim=1)
        return self.loss_weight * dense_energy_loss(prob, images, label, box, **self.options)
