"""AVC, a reconstruction, on PASCAL VOC 2012: as TransCAM, then AVC's own retraining."""

_base_ = './transcam_voc.py'
stages = dict(
    classifier=dict(config='../wsss/avc_voc_cam.py'),
    affinity=dict(config='../wsss/avc_voc_affinity.py'),
    network=dict(config='../segmentation/deeplabv1_resnet38_avc_voc.py'),
    val_crf=dict(crf='avc'),
)
