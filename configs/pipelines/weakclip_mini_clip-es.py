"""WeakCLIP on the embedded mini data set, behind CLIP-ES."""

_base_ = './weakclip_mini.py'
after = dict(pipeline='clip_es_mini_deeplab', until='mask')
mask_dir = 'work_dirs/clip_es_mini/crf'
