"""walk.py on MS COCO 2014. Seeds and masks are not judged: the true masks of train are not
needed."""

_base_ = './walk.py'
data_root = 'data/coco2014'
stages = dict(seed=None, crf=dict(images=f'{data_root}/train2014'), mask=None)
