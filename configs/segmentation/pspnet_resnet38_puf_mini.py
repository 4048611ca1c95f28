# pspnet_resnet38_mini.py with PMM's loss. beta and k are those of COCO: the loss on mini's masks
# stays above VOC's 0.5, at which the gate would never open.
_base_ = './pspnet_resnet38_mini.py'
puf = dict(_delete_=True, type='mmwsss.PUFCrossEntropyLoss', kind='clamp', beta=0.8, k=0.8)
model = dict(
    decode_head=dict(loss_decode=puf),
    auxiliary_head=dict(loss_decode=dict(puf, loss_weight=0.4, loss_name='loss_puf_aux')),
)
