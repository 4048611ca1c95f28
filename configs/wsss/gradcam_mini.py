# Baseline on mini: plain Grad-CAM seeds of the frozen CLIP, nothing trained; best background
# threshold on the train images. test.py CONFIG none.
_base_ = './weclip_mini.py'
model = dict(test_cfg=dict(predict='cam', maps='plain'))
test_dataloader = dict(dataset=dict(split='train'))
test_evaluator = dict(background_thresholds='range:0:1:0.01')
