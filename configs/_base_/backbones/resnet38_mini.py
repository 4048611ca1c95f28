# The ResNet-38d of mini: an eighth of the channels, 1.6 M parameters, shipped initial weights.
resnet38_mini = dict(
    base_channels=8,
    dropout=(0.0, 0.0),
    init_cfg=dict(checkpoint='mmwsss://mini_resnet38', hint='Shipped with the package.'),
)
