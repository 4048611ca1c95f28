# WeakCLIP on the embedded mini data set, from the masks of psa_mini_affinity.py: minutes on a CPU.
_base_ = [
    '../_base_/models/weakclip_mini-clip.py',
    '../_base_/prompts/weakclip_names_mini.py',
    '../_base_/datasets/mini_pseudo.py',
    '../_base_/schedules/weakclip_600.py',
    '../_base_/default_runtime.py',
]
model = dict(prompts=dict(class_names={{_base_.class_names}}))
train_dataloader = dict(batch_size=8)
