"""Grad-CAM of several classes per image: one batched backward pass of the last stage against one
backward pass of the whole network per class, as a package with hooks on the network does.

    python benchmarks/gradcam_family.py [--repeat 3] [--quick] [--classes 3]
"""

from collections.abc import Callable
from functools import partial

import torch
import torchvision
from _measure import Report, parse
from torch import Tensor, nn

from mmwsss.ops.cam.gradcam_family import gradcam, gradcam_maps, tokens_to_map

NUM_CLASSES, BATCH = 20, 2


def split_resnet(network: nn.Module) -> tuple[Callable, Callable, nn.Module, Callable]:
    """Front part, rest, hooked layer and map of a ResNet cut behind its last stage."""
    front = nn.Sequential(*list(network.children())[:-2])
    rest = nn.Sequential(network.avgpool, nn.Flatten(), network.fc)
    return front, rest, network.layer4, lambda x: x


def split_vit(network: nn.Module) -> tuple[Callable, Callable, nn.Module, Callable]:
    """The same of a ViT cut behind the first LayerNorm of its last block."""
    *blocks, last = network.encoder.layers

    def front(images: Tensor) -> tuple[Tensor, Tensor]:
        x = network._process_input(images)
        x = torch.cat([network.class_token.expand(len(x), -1, -1), x], dim=1)
        x = x + network.encoder.pos_embedding
        for block in blocks:
            x = block(x)
        return last.ln_1(x), x

    def rest(y: Tensor, x: Tensor) -> Tensor:
        x = x + last.self_attention(y, y, y, need_weights=False)[0]
        return network.heads(network.encoder.ln(x + last.mlp(last.ln_2(x)))[:, 0])

    side = network.image_size // network.patch_size
    return front, rest, last.ln_1, partial(tokens_to_map, grid=(side, side))


def hooked_gradcam(
    network: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor, to_map: Callable
) -> Tensor:
    """One forward and one backward pass through everything for the k-th classes of all images."""
    kept = {}

    def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        kept['activation'] = output
        output.register_hook(lambda gradient: kept.update(gradient=gradient))

    handle = layer.register_forward_hook(keep)
    maps = []
    for column in classes.T:
        network.zero_grad()
        logits = network(images)
        logits.gather(1, column[:, None]).sum().backward()
        maps.append(gradcam_maps(to_map(kept['activation'].detach()), to_map(kept['gradient'])))
    handle.remove()
    return torch.stack(maps, dim=1).flatten(0, 1)


NETWORKS = {
    'ResNet-50': (torchvision.models.resnet50, split_resnet),
    'ViT-B/16': (torchvision.models.vit_b_16, split_vit),
}


def same(expected: Tensor, maps: Tensor) -> None:
    worst = float((maps - expected).abs().max() / expected.abs().max())
    assert worst < 1e-4, f'the maps differ by {worst:.1e} of the largest value'


def main() -> None:
    args = parse(__doc__, classes=3)
    report = Report(__file__)
    for name in list(NETWORKS)[:1] if args.quick else NETWORKS:
        torch.manual_seed(0)
        build, split = NETWORKS[name]
        network = build(num_classes=NUM_CLASSES).eval()
        for head in (m for m in network.modules() if isinstance(m, nn.Linear)):
            if head.out_features == NUM_CLASSES:
                nn.init.normal_(head.weight)  # torchvision starts ViT's head at zero
        front, rest, layer, to_map = split(network)
        images = torch.randn(BATCH, 3, 224, 224)
        classes = torch.stack([torch.randperm(NUM_CLASSES)[: args.classes] for _ in images])
        image_index = torch.arange(BATCH).repeat_interleave(args.classes)
        pairs = image_index, classes.flatten()
        report.compare(
            f'{name}, {BATCH} images, {args.classes} classes each',
            'forward and backward per class',
            partial(hooked_gradcam, network, layer, images, classes, to_map),
            lambda f=front, r=rest, i=images, p=pairs, m=to_map: gradcam(f, r, i, *p, to_map=m)[0],
            same,
            args.repeat,
        )
    report.close()


if __name__ == '__main__':
    main()
