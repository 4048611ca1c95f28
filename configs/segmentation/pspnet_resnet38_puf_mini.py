# pspnet_resnet38_mini.py with PMM's loss: on plain cross-entropy, whose gate opens by itself.
_base_ = './pspnet_resnet38_mini.py'
puf = dict(_delete_=True, type='mmwsss.PUFCrossEntropyLoss', kind='clamp', beta=0.5, k=0.5)
model = dict(
    decode_head=dict(loss_decode=puf),
    auxiliary_head=dict(loss_decode=dict(puf, loss_weight=0.4, loss_name='loss_puf_aux')),
)
