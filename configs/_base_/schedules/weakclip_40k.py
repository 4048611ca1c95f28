# WeakCLIP on MS COCO 2014: longer, in larger batches.
_base_ = './weakclip_20k.py'
train_cfg = dict(max_iters=40000)
auto_scale_lr = dict(base_batch_size=24)
sync_bn = 'torch'  # with several GPUs
