# SGD of PMM's PSPNet: half of MMSegmentation's rate on VOC, everything at one rate. With fewer
# images an iteration, lower the rate and lengthen the training in proportion.
_base_ = './iterations.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [
    dict(type='mmwsss.PolyWarmupLR', warmup_iters=0, power=0.9, min_lr=1e-4, by_epoch=False)
]
train_cfg = dict(max_iters=20000)
auto_scale_lr = dict(base_batch_size=16)
