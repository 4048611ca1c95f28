"""A network trained on the true masks: what weak supervision of the same network is compared with.

Pipelines inherit from this file and name the network: ``stages = dict(network=dict(config=...))``.
"""

stages = dict(
    network=dict(run='train'),
    val=dict(run='test', checkpoint='network'),
    val_crf=dict(run='test', checkpoint='network', crf='afa'),
)
