# SGD of 1-Stage: a constant rate, weights and biases of old and new layers in four groups. 21
# epochs of train_aug in batches of 16 (661 iterations each), five of them without the mask loss.
_base_ = './iterations.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=5e-4, momentum=0.9, weight_decay=5e-4),
    constructor='mmwsss.FourGroupOptimWrapperConstructor',
    # old weights, old biases, new weights, new biases
    paramwise_cfg=dict(new='decode_head', lr_mults=(1, 1, 10, 10)),
)

# every other epoch, as the official code does
train_cfg = dict(max_iters=13881, val_interval=1322)
default_hooks = dict(checkpoint=dict(interval=1322, save_best='mIoU', rule='greater'))
auto_scale_lr = dict(base_batch_size=16)
