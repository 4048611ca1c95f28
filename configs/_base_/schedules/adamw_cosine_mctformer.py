# MCTformer's optimizer: AdamW, half a cosine in steps of an epoch (165 iterations of VOC in batches
# of 64). The official code takes a step of the schedule behind each epoch: the first two have the
# lowest rate, and the whole curve is an epoch late. The rate is 5e-4 * batch size / 512.
_base_ = './iterations.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6.25e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0.0,  # norms and biases
        # the longest matching key counts; MCTformer+ decays its two tables
        custom_keys={
            'backbone.cls_token': dict(decay_mult=0.0),
            'backbone.pos_embed': dict(decay_mult=0.0),
            'backbone.pos_embed_cls': dict(decay_mult=1.0),
            'backbone.pos_embed_pat': dict(decay_mult=1.0),
        },
    ),
)
param_scheduler = [
    dict(
        type='mmwsss.CosineWarmupLR',
        min_lr=1e-5,
        warmup_iters=825,
        warmup_lr=1e-6,
        interval=165,
        lag=165,
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=9900, val_interval=9900)  # 60 epochs
auto_scale_lr = dict(base_batch_size=64)
