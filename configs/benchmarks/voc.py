"""All methods on PASCAL VOC 2012: tools/benchmark.py configs/benchmarks/voc.py.

Keys of a row are those of mini.py. There are no bounds: nobody trains the networks of all methods
on true masks. The weights that methods start from have to be there (see the pages of the methods).
"""

data_root = 'data/VOCdevkit/VOC2012'
seeds = [0, 1, 2]

itself = dict(val='method_val', val_crf='method_val_crf')
refined = dict(seed='psa_voc-seed', mask='after_crf')
refined_clip_es = dict(seed='clip_es_voc_deeplab-seed', mask='after_crf')

rows = dict(
    cam=dict(title='CAM of ResNet-50, then DeepLabV2', pipeline='../pipelines/cam_voc_deeplab.py'),
    clip_es=dict(title='CLIP-ES, then DeepLabV2', pipeline='../pipelines/clip_es_voc_deeplab.py'),
    weclip=dict(title='WeCLIP', pipeline='../pipelines/weclip_voc_deeplab.py', columns=itself),
    weclip_deeplab=dict(
        title='WeCLIP, then DeepLabV2', pipeline='../pipelines/weclip_voc_deeplab.py'
    ),
    weclip_plus=dict(
        title='WeCLIP+', pipeline='../pipelines/weclip_plus_voc_deeplab.py', columns=itself
    ),
    weclip_plus_deeplab=dict(
        title='WeCLIP+, then DeepLabV2', pipeline='../pipelines/weclip_plus_voc_deeplab.py'
    ),
    excel=dict(title='ExCEL', pipeline='../pipelines/excel_voc_deeplab.py', columns=itself),
    excel_deeplab=dict(title='ExCEL, then DeepLabV2', pipeline='../pipelines/excel_voc_deeplab.py'),
    afa=dict(title='AFA', pipeline='../pipelines/afa_voc_deeplab.py', columns=itself),
    afa_deeplab=dict(title='AFA, then DeepLabV2', pipeline='../pipelines/afa_voc_deeplab.py'),
    one_stage=dict(
        title='1-Stage', pipeline='../pipelines/one_stage_voc_deeplab.py', columns=itself
    ),
    one_stage_deeplab=dict(
        title='1-Stage, then DeepLabV2', pipeline='../pipelines/one_stage_voc_deeplab.py'
    ),
    psa=dict(title='PSA', pipeline='../pipelines/psa_voc.py'),
    mctformer_v1=dict(title='MCTformer V1', pipeline='../pipelines/mctformer-v1_voc.py'),
    mctformer=dict(title='MCTformer V2', pipeline='../pipelines/mctformer_voc.py'),
    mctformer_plus=dict(title='MCTformer+', pipeline='../pipelines/mctformer-plus_voc.py'),
    acr=dict(title='ACR', pipeline='../pipelines/acr_voc.py'),
    transcam=dict(title='TransCAM', pipeline='../pipelines/transcam_voc.py'),
    avc=dict(title='AVC (reconstruction)', pipeline='../pipelines/avc_voc.py'),
    pmm_resnet38=dict(
        title='PMM, PSPNet on ResNet-38',
        pipeline='../pipelines/pmm_voc_resnet38.py',
        columns=dict(val='val_1', val_crf='val_crf_1'),
    ),
    pmm_res2net101=dict(
        title='PMM, PSPNet on Res2Net-101',
        pipeline='../pipelines/pmm_voc_res2net101.py',
        columns=dict(val='val_1', val_crf='val_crf_1'),
    ),
    pmm_scalenet101=dict(
        title='PMM, PSPNet on ScaleNet-101',
        pipeline='../pipelines/pmm_voc_scalenet101.py',
        columns=dict(val='val_1', val_crf='val_crf_1'),
    ),
    wsss_bed=dict(
        title="PSA's CAM and saliency (WSSS-BED)", pipeline='../pipelines/wsss_bed_voc.py'
    ),
    weakclip=dict(
        title='WeakCLIP behind PSA',
        pipeline='../pipelines/weakclip_voc.py',
        columns=dict(refined, val='refine_val', val_crf=None),
    ),
    weakclip_deeplab=dict(
        title='WeakCLIP behind PSA, then DeepLabV1',
        pipeline='../pipelines/weakclip_voc.py',
        columns=refined,
    ),
    weakclip_clip_es=dict(
        title='WeakCLIP behind CLIP-ES',
        pipeline='../pipelines/weakclip_voc_clip-es.py',
        columns=dict(refined_clip_es, val='refine_val', val_crf=None),
    ),
    weakclip_clip_es_deeplab=dict(
        title='WeakCLIP behind CLIP-ES, then DeepLabV1',
        pipeline='../pipelines/weakclip_voc_clip-es.py',
        columns=refined_clip_es,
    ),
)
