# Initial weights of Res2Net-101 v1b.
res2net101_init = dict(
    type='mmwsss.StrictPretrained',
    checkpoint='pretrained/res2net101_v1b_imagenet.pth',
    hint='docs/pmm.md tells how to get and convert the ImageNet weights.',
)
