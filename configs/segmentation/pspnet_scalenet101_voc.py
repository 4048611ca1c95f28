# PSPNet on ScaleNet-101 with plain cross-entropy: the fresh network at the end of PMM's cycle.
# Published, behind the whole method: 67.1 / 67.7, recalled and not checked, mIoU on val / test.
_base_ = [
    '../_base_/models/pspnet_scalenet101.py',
    '../_base_/datasets/voc12_weakclip.py',
    '../_base_/schedules/pspnet_20k.py',
    '../_base_/default_runtime.py',
]
