"""VOC 2012 for classifiers: PSA's augmentation; test.py visits train_aug with its image labels."""

_base_ = ['./voc12.py', '../pipelines/psa_augment.py']
train_dataloader = dict(batch_size=16, dataset=dict(pipeline={{_base_.psa_pipeline}}))
test_dataloader = dict(dataset=dict(split='train_aug', masks=False))
val_evaluator = dict(background_thresholds='range:0:0.6:0.01')
