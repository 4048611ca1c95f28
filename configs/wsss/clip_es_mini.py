# CLIP-ES on the embedded mini data set, seconds on a CPU. test.py CONFIG (no checkpoint) writes the
# maps of the train images and judges them as seeds.
_base_ = [
    '../_base_/models/clip-es_mini-clip.py',
    '../_base_/prompts/clip_mini.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/no_training.py',
    '../_base_/default_runtime.py',
]
model = dict(text={{_base_.texts}})
train_dataloader = val_dataloader = val_evaluator = None
test_dataloader = dict(batch_size=8, dataset=dict(split='train'))
test_evaluator = [
    dict(type='mmwsss.CAMStoreWriter', output_dir='work_dirs/clip_es_mini/cams'),
    dict(type='mmwsss.WSSSIoUMetric', background_thresholds='range:0:1:0.01'),
]
