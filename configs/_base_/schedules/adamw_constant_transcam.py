# TransCAM's optimizer: AdamW at a constant rate, decay on everything; 20 epochs of VOC in batches
# of 8.
_base_ = './iterations.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=5e-4),
)
train_cfg = dict(max_iters=26440, val_interval=26440)
auto_scale_lr = dict(base_batch_size=8)
