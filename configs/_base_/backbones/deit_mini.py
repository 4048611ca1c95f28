# The DeiT of mini: 6 blocks of width 96, patches of 8 pixels, shipped initial weights.
deit_mini = dict(
    num_classes=10,
    img_size=112,
    patch_size=8,
    embed_dims=96,
    num_layers=6,
    num_heads=3,
    init_cfg=dict(checkpoint='mmwsss://mini_deit', hint='Shipped with the package.'),
)
