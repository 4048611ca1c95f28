# MCTformer V1 (arXiv 2203.02891): the class tokens alone.
_base_ = './mctformer.py'
model = dict(
    decode_head=dict(patch_pool='none'),
    test_cfg=dict(fusion='class'),
)
