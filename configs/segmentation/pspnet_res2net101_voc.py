# PSPNet on Res2Net-101 v1b with plain cross-entropy: the fresh network at the end of PMM's cycle.
# Published, behind the whole method: 70.0 / 70.5 mIoU on val / test.
_base_ = [
    '../_base_/models/pspnet_res2net101.py',
    '../_base_/datasets/voc12_weakclip.py',
    '../_base_/schedules/pspnet_20k.py',
    '../_base_/default_runtime.py',
]
