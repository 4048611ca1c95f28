# DeepLabV2 on VGG-16: four LargeFOV branches, summed (L2G).
_base_ = './deeplabv1_vgg16.py'
model = dict(decode_head=dict(dilations=(6, 12, 18, 24)))
# CRF of the published figures: --cfg-options model.test_cfg.crf.preset=deeplabv2
# model.test_cfg.crf.gaussian_sxy=2 model.test_cfg.crf.gaussian_compat=2
# model.test_cfg.crf.bilateral_sxy=65
