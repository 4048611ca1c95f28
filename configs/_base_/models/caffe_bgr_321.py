# For crops that may be smaller than 321 pixels: they are padded with the mean colour.
_base_ = './caffe_bgr.py'
data_preprocessor = dict(size=(321, 321), size_divisor=None)
