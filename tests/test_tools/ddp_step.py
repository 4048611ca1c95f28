"""A few training steps of a shipped mini model, in one process or in several."""

from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.runner.checkpoint import get_state_dict
from torch import nn

from mmwsss import register_all_modules
from mmwsss.registry import MODEL_WRAPPERS, MODELS
from mmwsss.testing import labelled_samples, training_iteration

CONFIGS = Path(__file__).parents[2] / 'configs' / 'wsss'
BATCH, CROP = 4, 64
LEFT_OUT = 99  # iteration in which the first process of ACR has no finite loss
# without chance, and, for 1-Stage, with labels although the weights are random
CHANGES = {
    'acr_mini_cam': {'reconstructor.generator.dropout': 0.0},
    'afa': {
        'backbone.drop_path_rate': 0.0,
        'decode_head.dropout_ratio': 0.0,
        'backbone.init_cfg': None,
    },
    'one_stage': {
        'backbone.init_cfg': None,
        'decode_head.gate_rate': 0.0,
        'decode_head.dropout': (0.0, 0.0, 0.0),
        'mask_loss_start': 0,
        'label_low': 0.0,
        'label_foreground': 0.9,
        'label_background': 0.9,
        'refiner.iterations': 2,
    },
}


def config_of(method: str) -> Config:
    """``<method>_mini``, or the name itself."""
    return Config.fromfile(CONFIGS / f'{method if "_mini" in method else f"{method}_mini"}.py')


def build(method: str) -> nn.Module:
    """The model in training mode, its batch norms in evaluation mode."""
    register_all_modules()
    cfg = config_of(method)
    cfg.merge_from_dict({f'model.{key}': value for key, value in CHANGES[method].items()})
    cfg.model.data_preprocessor = dict(cfg.data_preprocessor, size=(CROP, CROP), size_divisor=None)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    if method == 'one_stage':
        model.decode_head.last[-1].weight.data *= 10
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


def batch(rank: int, processes: int) -> dict:
    """This process's part of the images, each with two classes."""
    generator = torch.Generator().manual_seed(1)
    images = F.interpolate(torch.rand(BATCH, 3, 8, 8, generator=generator), size=CROP) * 255
    labels = [(i, i + 3) for i in range(BATCH)]
    samples = labelled_samples(*labels, num_classes=10, size=(CROP, CROP))
    mine = slice(rank * BATCH // processes, (rank + 1) * BATCH // processes)
    return dict(inputs=list(images.to(torch.uint8)[mine]), data_samples=samples[mine])


def draw_alike(model: nn.Module, rank: int, processes: int) -> None:
    """Draws of ACR that go with the image, whatever process it is in."""
    mine = slice(rank * BATCH // processes, (rank + 1) * BATCH // processes)
    generator = torch.Generator().manual_seed(2)
    cells = (BATCH, 1, model.erase_cells, model.erase_cells)
    draws = torch.randint(100, cells, generator=generator)[mine]

    def draw(image_labels):
        lost = rank == 0 and model.iteration == LEFT_OUT
        model.loss_weights['recon_full'] = float('nan') if lost else 0.2
        return image_labels.argmax(dim=1), draws

    model.draw = draw


def train(method: str, iterations: list[int], rank: int = 0, processes: int = 1) -> dict:
    """Steps at the given iterations -> ``losses``, means over the processes, and ``weights``."""
    model, cfg = build(method), config_of(method)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = OptimWrapper(torch.optim.SGD(trained, lr=0.02))
    step_of = model
    if 'model_wrapper_cfg' in cfg:  # networks with optimizers of their own
        draw_alike(model, rank, processes)
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
        if processes > 1:
            step_of = MODEL_WRAPPERS.build(dict(cfg.model_wrapper_cfg, module=model))
    elif processes > 1:
        step_of = MMDistributedDataParallel(model, broadcast_buffers=False)
    data, losses = batch(rank, processes), []
    with training_iteration() as at:
        for iteration in iterations:
            at(iteration)
            logged = step_of.train_step(data, optimizer)
            values = torch.stack([logged[name].detach() for name in sorted(logged)])
            if processes > 1:
                dist.all_reduce(values)
            losses.append(dict(zip(sorted(logged), (values / processes).tolist(), strict=True)))
    return dict(losses=losses, weights=get_state_dict(model))


def train_in_process(
    rank: int, processes: int, port: str, method: str, iterations: list[int], folder: str
) -> None:
    """:func:`train` in one of several processes; every one saves its result."""
    torch.set_num_threads(1)
    address = f'tcp://127.0.0.1:{port}'
    dist.init_process_group('gloo', init_method=address, rank=rank, world_size=processes)
    torch.save(train(method, iterations, rank, processes), f'{folder}/{rank}.pt')
    dist.destroy_process_group()
