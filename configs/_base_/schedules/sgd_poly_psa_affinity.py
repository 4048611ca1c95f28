# PSA's AffinityNet on VOC: 8 epochs of batch 8; the masks are judged once, at the end.
_base_ = './sgd_poly_psa.py'
train_cfg = dict(max_iters=10576, val_interval=10576)  # 8 epochs
auto_scale_lr = dict(base_batch_size=8)
