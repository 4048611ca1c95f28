# Initial weights of ResNet-38d.
resnet38_init = dict(
    type='mmwsss.StrictPretrained',
    checkpoint='pretrained/resnet38_imagenet.pth',
    hint='docs/cam.md tells how to get and convert the ImageNet weights.',
)
