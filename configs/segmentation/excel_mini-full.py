# Upper bound of ExCEL on mini: the same network trained on true masks.
_base_ = ['../wsss/excel_mini.py', '../_base_/pipelines/true_masks_mini.py']
model = dict(type='mmwsss.ExCELSupervised')
train_dataloader = dict(dataset=dict(masks=True, pipeline={{_base_.masks_pipeline}}))
