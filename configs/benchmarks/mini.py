"""All methods on the embedded mini data set: tools/benchmark.py configs/benchmarks/mini.py.

A row is a title and a pipeline. ``columns`` names the stages of the columns seed, mask, val and
val_crf where they are not called so, ``bound`` the row of the same network trained on true masks,
``until`` the last stage that is done.

Methods without a network of their own (CLIP-ES, ExCEL without training, APC) have no val, since
their maps need image labels; only CLIP-ES has a row with one trained on its masks.
"""

data_root = 'data/mini'
seeds = [0, 1, 2]

# A single-stage method segments by itself; the network on its masks is a row of its own.
itself = dict(val='method_val', val_crf='method_val_crf')
refined = dict(seed='psa_mini-seed', mask='after_crf')
refined_clip_es = dict(seed='clip_es_mini_deeplab-seed', mask='after_crf')

rows = dict(
    no_labels=dict(
        page='clip_es', title='no labels: CLIP-ES', pipeline='../pipelines/no_labels_mini.py'
    ),
    # the maps that others begin with
    gradcam=dict(
        page='cam',
        title='Grad-CAM of CLIP',
        pipeline='../pipelines/clip_es_mini_deeplab.py',
        columns=dict(seed='gradcam_seed'),
        until='gradcam_seed',
    ),
    cam=dict(
        page='cam',
        title='CAM of ResNet-38',
        pipeline='../pipelines/psa_mini.py',
        until='seed',
    ),
    cam_mit=dict(page='cam', title='CAM of MiT', pipeline='../pipelines/cam_mit_mini_seed.py'),
    cam_deit=dict(page='cam', title='CAM of DeiT', pipeline='../pipelines/cam_deit_mini_seed.py'),
    # without training, and one stage
    clip_es=dict(
        page='clip_es',
        title='CLIP-ES',
        pipeline='../pipelines/clip_es_mini_deeplab.py',
        until='mask',
    ),
    clip_es_deeplab=dict(
        page='clip_es',
        title='CLIP-ES, then DeepLabV3+',
        pipeline='../pipelines/clip_es_mini_deeplab.py',
        bound='bound_deeplabv3plus',
    ),
    excel_free=dict(
        page='excel',
        title='ExCEL without training',
        pipeline='../pipelines/excel_free_mini_mask.py',
    ),
    weclip=dict(
        page='weclip',
        title='WeCLIP',
        pipeline='../pipelines/weclip_mini_deeplab.py',
        columns=itself,
        until='mask',
        bound='bound_weclip',
    ),
    weclip_deeplab=dict(
        page='weclip',
        title='WeCLIP, then DeepLabV1',
        pipeline='../pipelines/weclip_mini_deeplab.py',
        bound='bound_deeplabv1',
    ),
    weclip_plus=dict(
        page='weclip_plus',
        title='WeCLIP+',
        pipeline='../pipelines/weclip_plus_mini_deeplab.py',
        columns=itself,
        until='mask',
        bound='bound_weclip_plus',
    ),
    weclip_plus_deeplab=dict(
        page='weclip_plus',
        title='WeCLIP+, then DeepLabV1',
        pipeline='../pipelines/weclip_plus_mini_deeplab.py',
        bound='bound_deeplabv1',
    ),
    excel=dict(
        page='excel',
        title='ExCEL',
        pipeline='../pipelines/excel_mini_deeplab.py',
        columns=itself,
        until='mask',
        bound='bound_excel',
    ),
    excel_deeplab=dict(
        page='excel',
        title='ExCEL, then DeepLabV1',
        pipeline='../pipelines/excel_mini_deeplab.py',
        bound='bound_deeplabv1',
    ),
    afa=dict(
        page='afa',
        title='AFA',
        pipeline='../pipelines/afa_mini_deeplab.py',
        columns=itself,
        until='mask',
        bound='bound_afa',
    ),
    afa_deeplab=dict(
        page='afa',
        title='AFA, then DeepLabV1',
        pipeline='../pipelines/afa_mini_deeplab.py',
        bound='bound_deeplabv1',
    ),
    one_stage=dict(
        page='one_stage',
        title='1-Stage',
        pipeline='../pipelines/one_stage_mini_deeplab.py',
        columns=itself,
        until='mask',
        bound='bound_one_stage',
    ),
    one_stage_deeplab=dict(
        page='one_stage',
        title='1-Stage, then DeepLabV1',
        pipeline='../pipelines/one_stage_mini_deeplab.py',
        bound='bound_deeplabv1',
    ),
    # several stages
    psa=dict(page='psa', title='PSA', pipeline='../pipelines/psa_mini.py', bound='bound_deeplabv1'),
    mctformer_v1=dict(
        page='mctformer',
        title='MCTformer V1',
        pipeline='../pipelines/mctformer-v1_mini.py',
        bound='bound_fov2',
    ),
    mctformer=dict(
        page='mctformer',
        title='MCTformer V2',
        pipeline='../pipelines/mctformer_mini.py',
        bound='bound_fov2',
    ),
    mctformer_plus=dict(
        page='mctformer',
        title='MCTformer+',
        pipeline='../pipelines/mctformer-plus_mini.py',
        bound='bound_fov2',
    ),
    acr=dict(page='acr', title='ACR', pipeline='../pipelines/acr_mini.py', bound='bound_deeplabv1'),
    transcam=dict(
        page='transcam',
        title='TransCAM',
        pipeline='../pipelines/transcam_mini.py',
        bound='bound_deeplabv1',
    ),
    avc=dict(
        page='avc',
        title='AVC (reconstruction)',
        pipeline='../pipelines/avc_mini.py',
        bound='bound_deeplabv1',
    ),
    apc=dict(page='apc', title='APC', pipeline='../pipelines/apc_mini_seed.py'),
    pmm=dict(
        page='pmm',
        title='PMM, before the cycle',
        pipeline='../pipelines/pmm_mini_resnet38.py',
        columns=dict(val='val_0', val_crf='val_crf_0'),
        until='val_crf_0',
        bound='bound_pspnet',
    ),
    pmm_cycle=dict(
        page='pmm',
        title='PMM',
        pipeline='../pipelines/pmm_mini_resnet38.py',
        columns=dict(mask='mask_1', val='val_1', val_crf='val_crf_1'),
        bound='bound_pspnet',
    ),
    wsss_bed=dict(
        page='wsss_bed',
        title="PSA's CAM and saliency (WSSS-BED)",
        pipeline='../pipelines/wsss_bed_mini.py',
        bound='bound_deeplabv1',
    ),
    # behind the masks of another one
    weakclip=dict(
        page='weakclip',
        title='WeakCLIP behind PSA',
        pipeline='../pipelines/weakclip_mini.py',
        columns=dict(refined, val='refine_val', val_crf=None),
        until='after_crf',
        bound='bound_weakclip',
    ),
    weakclip_deeplab=dict(
        page='weakclip',
        title='WeakCLIP behind PSA, then DeepLabV1',
        pipeline='../pipelines/weakclip_mini.py',
        columns=refined,
        bound='bound_deeplabv1',
    ),
    weakclip_clip_es=dict(
        page='weakclip',
        title='WeakCLIP behind CLIP-ES',
        pipeline='../pipelines/weakclip_mini_clip-es.py',
        columns=dict(refined_clip_es, val='refine_val', val_crf=None),
        until='after_crf',
        bound='bound_weakclip',
    ),
    weakclip_clip_es_deeplab=dict(
        page='weakclip',
        title='WeakCLIP behind CLIP-ES, then DeepLabV1',
        pipeline='../pipelines/weakclip_mini_clip-es.py',
        columns=refined_clip_es,
        bound='bound_deeplabv1',
    ),
    # trained on the true masks
    bound_weclip=dict(
        title='WeCLIP', pipeline='../pipelines/bound_mini_weclip.py', true_masks=True
    ),
    bound_weclip_plus=dict(
        title='WeCLIP+', pipeline='../pipelines/bound_mini_weclip-plus.py', true_masks=True
    ),
    bound_excel=dict(title='ExCEL', pipeline='../pipelines/bound_mini_excel.py', true_masks=True),
    bound_afa=dict(title='AFA', pipeline='../pipelines/bound_mini_afa.py', true_masks=True),
    bound_one_stage=dict(
        title='1-Stage', pipeline='../pipelines/bound_mini_one-stage.py', true_masks=True
    ),
    bound_weakclip=dict(
        title='WeakCLIP', pipeline='../pipelines/bound_mini_weakclip.py', true_masks=True
    ),
    bound_deeplabv1=dict(
        title='DeepLabV1, ResNet-38',
        pipeline='../pipelines/bound_mini_deeplabv1.py',
        true_masks=True,
    ),
    bound_fov2=dict(
        title='ResNet-38 of MCTformer', pipeline='../pipelines/bound_mini_fov2.py', true_masks=True
    ),
    bound_pspnet=dict(
        title='PSPNet, ResNet-38', pipeline='../pipelines/bound_mini_pspnet.py', true_masks=True
    ),
    bound_deeplabv3plus=dict(
        title='DeepLabV3+, ResNet-18',
        pipeline='../pipelines/bound_mini_deeplabv3plus.py',
        true_masks=True,
    ),
)
