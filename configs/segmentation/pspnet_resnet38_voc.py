# PSPNet on ResNet-38 with plain cross-entropy: the fresh network at the end of PMM's cycle.
# Published, behind the whole method: 68.5 / 69.0 mIoU on val / test.
_base_ = [
    '../_base_/models/pspnet_resnet38.py',
    '../_base_/datasets/voc12_weakclip.py',
    '../_base_/schedules/pspnet_20k.py',
    '../_base_/default_runtime.py',
]
