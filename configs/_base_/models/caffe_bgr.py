# How networks of Caffe see their images: BGR minus the mean, not divided. Crops have one size, so
# nothing is padded in training.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[104.008, 116.669, 122.675],
    std=[1.0, 1.0, 1.0],
    bgr_to_rgb=False,
    pad_val=0,
    seg_pad_val=255,
    size_divisor=1,
)
