# AdamW with the warm-up and polynomial decay of AFA, ToCo and WeCLIP. WeCLIP's code names 2e-4
# and multiplies it by 10 for the decoder, the only part that is trained.
_base_ = './iterations.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
)
param_scheduler = [dict(type='mmwsss.PolyWarmupLR', warmup_iters=50, by_epoch=False)]
train_cfg = dict(max_iters=30000)
randomness = dict(seed=1)
auto_scale_lr = dict(base_batch_size=4)
