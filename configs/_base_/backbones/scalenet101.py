# Initial weights of ScaleNet-101.
scalenet101_init = dict(
    type='mmwsss.StrictPretrained',
    checkpoint='pretrained/scalenet101_imagenet.pth',
    hint='docs/pmm.md tells how to get and convert the ImageNet weights.',
)
