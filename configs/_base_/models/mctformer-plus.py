# MCTformer+ (arXiv 2308.03005): rank pooling, contrast between class tokens, larger images.
_base_ = './mctformer.py'
model = dict(
    backbone=dict(img_size=448, positions='split'),
    decode_head=dict(patch_pool='rank', decay=0.996, contrast_weight=1.0, contrast_layers=12),
    test_cfg=dict(fusion='sqrt', class_layers=12, scales=(1.0, 0.75, 1.25)),
)
