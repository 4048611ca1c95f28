# ExCEL without training on the embedded mini data set, seconds on a CPU. test.py CONFIG (no
# checkpoint) writes the masks of the train images and judges them.
_base_ = [
    '../_base_/models/excel-free_mini-clip.py',
    '../_base_/prompts/clip_mini.py',
    '../_base_/datasets/mini.py',
    '../_base_/schedules/no_training.py',
    '../_base_/default_runtime.py',
]
model = dict(text={{_base_.texts}})
train_dataloader = val_dataloader = val_evaluator = None
test_dataloader = dict(batch_size=8, dataset=dict(split='train'))
test_evaluator = [
    dict(type='mmwsss.PseudoMaskWriter', output_dir='work_dirs/excel_free_mini/masks'),
    dict(type='mmwsss.WSSSIoUMetric'),
]
