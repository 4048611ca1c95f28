# MCTformer V1 on mini: class tokens alone.
_base_ = './mctformer_mini_cam.py'
model = dict(decode_head=dict(patch_pool='none'), test_cfg=dict(fusion='class'))
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/mctformer-v1_mini_cam/cams'),
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
