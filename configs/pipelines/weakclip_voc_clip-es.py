"""WeakCLIP on PASCAL VOC 2012, behind CLIP-ES."""

_base_ = './weakclip_voc.py'
after = dict(pipeline='clip_es_voc_deeplab', until='mask')
mask_dir = 'work_dirs/clip_es_voc/crf'
