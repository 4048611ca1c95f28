# PSPNet on ResNet-38 with PMM's loss, which takes large losses of pixels for label noise.
# Every head has a gate of its own.
_base_ = './pspnet_resnet38_voc.py'
puf = dict(_delete_=True, type='mmwsss.PUFCrossEntropyLoss', kind='clamp', beta=0.5, k=0.5)
model = dict(
    decode_head=dict(loss_decode=puf),
    auxiliary_head=dict(loss_decode=dict(puf, loss_weight=0.4, loss_name='loss_puf_aux')),
)
