# The Conformer of mini: 6 blocks of width 96 beside 32 to 128 channels, patches of 8 pixels,
# shipped initial weights.
conformer_mini = dict(
    base_channels=16,
    channel_ratio=2,
    embed_dims=96,
    depth=6,
    num_heads=3,
    patch_size=8,
    init_cfg=dict(checkpoint='mmwsss://mini_conformer', hint='Shipped with the package.'),
)
