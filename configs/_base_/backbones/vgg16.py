# Initial weights of VGG-16.
vgg16_init = dict(
    type='mmwsss.StrictPretrained',
    checkpoint='pretrained/vgg16_imagenet.pth',
    hint='docs/cam.md tells how to get and convert the ImageNet weights.',
)
