"""All methods on MS COCO 2014: tools/benchmark.py configs/benchmarks/coco.py.

Keys of a row are those of mini.py. There are no bounds: nobody trains the networks of all methods
on true masks. The weights that methods start from have to be there (see the pages of the methods).
"""

data_root = 'data/coco2014'
seeds = [0, 1, 2]

itself = dict(val='method_val', val_crf='method_val_crf')

rows = dict(
    clip_es=dict(title='CLIP-ES, then DeepLabV2', pipeline='../pipelines/clip_es_coco_deeplab.py'),
    weclip=dict(title='WeCLIP', pipeline='../pipelines/weclip_coco_deeplab.py', columns=itself),
    weclip_deeplab=dict(
        title='WeCLIP, then DeepLabV2', pipeline='../pipelines/weclip_coco_deeplab.py'
    ),
    weclip_plus=dict(
        title='WeCLIP+', pipeline='../pipelines/weclip_plus_coco_deeplab.py', columns=itself
    ),
    weclip_plus_deeplab=dict(
        title='WeCLIP+, then DeepLabV2', pipeline='../pipelines/weclip_plus_coco_deeplab.py'
    ),
    excel=dict(title='ExCEL', pipeline='../pipelines/excel_coco_deeplab.py', columns=itself),
    excel_deeplab=dict(
        title='ExCEL, then DeepLabV2', pipeline='../pipelines/excel_coco_deeplab.py'
    ),
    afa=dict(title='AFA', pipeline='../pipelines/afa_coco_deeplab.py', columns=itself),
    afa_deeplab=dict(title='AFA, then DeepLabV2', pipeline='../pipelines/afa_coco_deeplab.py'),
    one_stage=dict(
        title='1-Stage', pipeline='../pipelines/one_stage_coco_deeplab.py', columns=itself
    ),
    one_stage_deeplab=dict(
        title='1-Stage, then DeepLabV2', pipeline='../pipelines/one_stage_coco_deeplab.py'
    ),
    psa=dict(title='PSA', pipeline='../pipelines/psa_coco.py'),
    mctformer=dict(title='MCTformer V2', pipeline='../pipelines/mctformer_coco.py'),
    acr=dict(title='ACR', pipeline='../pipelines/acr_coco.py'),
    avc=dict(title='AVC (reconstruction)', pipeline='../pipelines/avc_coco.py'),
    pmm_resnet38=dict(
        title='PMM, PSPNet on ResNet-38',
        pipeline='../pipelines/pmm_coco_resnet38.py',
        columns=dict(val='val_0', val_crf='val_crf_0'),
    ),
    pmm_res2net101=dict(
        title='PMM, PSPNet on Res2Net-101',
        pipeline='../pipelines/pmm_coco_res2net101.py',
        columns=dict(val='val_0', val_crf='val_crf_0'),
    ),
    pmm_scalenet101=dict(
        title='PMM, PSPNet on ScaleNet-101',
        pipeline='../pipelines/pmm_coco_scalenet101.py',
        columns=dict(val='val_0', val_crf='val_crf_0'),
    ),
    wsss_bed=dict(
        title="PSA's CAM and saliency (WSSS-BED)", pipeline='../pipelines/wsss_bed_coco.py'
    ),
    weakclip=dict(
        title='WeakCLIP behind PSA',
        pipeline='../pipelines/weakclip_coco.py',
        columns=dict(val='refine_val', val_crf=None),
    ),
    weakclip_deeplab=dict(
        title='WeakCLIP behind PSA, then DeepLabV1', pipeline='../pipelines/weakclip_coco.py'
    ),
)
