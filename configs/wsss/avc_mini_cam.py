# AVC on mini, a reconstruction: transcam_mini_cam.py with a loss on its affinity vectors.
_base_ = './transcam_mini_cam.py'
model = dict(consistency=dict(type='mmwsss.AffinityVectorLoss', region_start=30))
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/avc_mini_cam/cams'),
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
