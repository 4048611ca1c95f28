# The network of WSSS-BED on VOC, from labels of train_aug by its rule; begins from ImageNet.
# The published tables started from masks of COCO: deeplabv2_r101_bed-coco-init_voc.py.
# As released, its code trains on the 1464 images of train, with mixed precision (--amp):
# --cfg-options train_dataloader.dataset.split=train. It reports the best of many validations by the
# images that it reports on; ours takes the last weights.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/voc12_deeplabv2.py',
    '../_base_/schedules/deeplabv2_bed_10k.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=10, dataset=dict(mask_dir='work_dirs/wsss_bed_voc/masks'))
