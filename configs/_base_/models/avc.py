# AVC as we RECONSTRUCT it: TransCAM with a loss on its affinity vectors. The authors published
# neither paper nor training code; terms, weights and thresholds are ours.
_base_ = './transcam.py'
model = dict(
    consistency=dict(
        type='mmwsss.AffinityVectorLoss',
        use_view=True,
        use_pos=True,
        use_neg=True,
        region_start=2644,  # 2 epochs of VOC
    ),
)
