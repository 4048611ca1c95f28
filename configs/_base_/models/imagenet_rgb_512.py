# For crops that may be smaller than 512 pixels: they are padded with the mean colour.
_base_ = './imagenet_rgb.py'
data_preprocessor = dict(size=(512, 512), size_divisor=None)
