"""The ResNet-50 CAM network (official code: jiwoon-ahn/irn)."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.converters.irn import convert_irn_resnet50
from mmwsss.ops.multi_view import view_maps
from mmwsss.registry import MODELS

from .harness import close_to_max
from .seeded_weights import seeded_state_dict

CONFIGS = Path(__file__).parents[2] / 'configs'


def resnet50_cam(case):
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(CONFIGS / 'wsss/cam_voc.py').model)
    manifest = case.manifest('net_resnet50_cam.manifest.json')
    official = seeded_state_dict(manifest, int(case['param_weight_seed']))
    model.load_state_dict(convert_irn_resnet50(official), strict=True)
    images = [image.flip(0) for image in case.tensor('in_image')]  # loaded as BGR
    inputs = model.data_preprocessor(dict(inputs=images), training=False)['inputs']
    model.train()  # its batch norms stay in evaluation mode
    features = model.extract_feat(inputs)
    loss = model.decode_head.loss(features, case.tensor('in_label'))['loss_cls']
    loss.backward()
    for module in case['param_no_grad_modules']:
        assert all(p.grad is None for p in model.backbone.get_submodule(str(module)).parameters())
    keys = [str(key) for key in case['param_keys']]
    ours = {theirs: mine for mine, theirs in convert_irn_resnet50({k: k for k in manifest}).items()}
    grads = [model.get_parameter(ours[key]).grad.norm().item() for key in keys]
    with torch.no_grad():
        features = model.extract_feat(inputs)
        pair = list(view_maps(model.encode_decode, inputs[:1], (1.0,), flip=True))
        return dict(
            out_feat_mean=features[-1].mean(1),
            out_feat_first4=features[-1][:, :4],
            out_logits=model.decode_head(features),
            out_cam=model.decode_head.cam(features),
            out_cam_fliptta0=sum(pair)[0],
            out_loss=loss.detach(),
            out_grad_norm=np.array(grads),
        )


ADAPTERS = {'net_resnet50_cam': resnet50_cam}

TOLERANCES = {
    'net_resnet50_cam/out_grad_norm': close_to_max(1e-3),
    'net_resnet50_cam/*': close_to_max(1e-4),
}
