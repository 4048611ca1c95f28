"""pmm.py on MS COCO 2014: one classifier, and no cycle, as published. The masks are not judged: the
true ones of train are not needed."""

_base_ = './pmm.py'
data_root = 'data/coco2014'
stages = dict(
    seam=None,
    seam_maps=None,
    seam_seed=None,
    rough=None,
    classifier=dict(config='../wsss/pmm_coco_cam.py', options=dict(_delete_=True)),
    seed=None,
    ppmg=dict(images=f'{data_root}/train2014'),
    table=dict(classes='coco14'),
    mask=None,
    cycle=None,
)
