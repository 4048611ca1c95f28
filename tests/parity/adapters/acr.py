"""ACR (official code: sangrockEG/ACR): scaling and merging of maps."""

from mmwsss.ops.cam import merge_cams

from ..harness import Case, close_to_scale, exact

PENDING = ('masked_l1', 'step_losses', 'net', 'train_step')


def max_norm(case: Case) -> dict:
    cam = case.tensor('in_cam')
    return dict(out_cam=merge_cams([cam], cam.shape[-2:], 'acr'))


def infer_merge(case: Case) -> dict:
    present = case.tensor('in_label').nonzero()[:, 0]
    pairs = [pair[:, present] for pair in case.views('in_cam_')]
    views = [view for plain, mirrored in pairs for view in (plain, mirrored.flip(-1))]
    cam = merge_cams(views, tuple(case['param_size'].tolist()), 'acr')
    return dict(out_class_ids=present, out_cam=cam)


ADAPTERS = dict(max_norm=max_norm, infer_merge=infer_merge)

TOLERANCES = {
    '*/out_class_ids': exact,
    'max_norm/*': close_to_scale(1e-6),
    'infer_merge/*': close_to_scale(1e-5),
}
