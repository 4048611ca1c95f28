"""CVAT for images 1.1: a mask for each class."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence

from ..stores.palettes import voc_palette
from ..utils.run_lengths import encode_runs
from .formats import ExportOptions, Picture
from .regions import class_regions


def describe(
    picture: Picture, classes: Sequence[str], options: ExportOptions
) -> ElementTree.Element:
    """An ``<image>`` without id; masks are run lengths, row by row in their boxes."""
    height, width = picture.mask.shape
    sides = dict(width=str(width), height=str(height))
    image = ElementTree.Element('image', name=picture.url, **sides)
    for region in class_regions(picture.mask):
        rows, columns = region.pixels.shape
        box = dict(left=region.left, top=region.top, width=columns, height=rows)
        ElementTree.SubElement(
            image,
            'mask',
            label=classes[region.value - 1],
            source='auto',
            occluded='0',
            rle=', '.join(map(str, encode_runs(region.pixels.ravel()))),
            z_order='0',
            **{key: str(value) for key, value in box.items()},
        )
    return image


def join(
    described: Iterable[ElementTree.Element], classes: Sequence[str], options: ExportOptions
) -> str:
    """The file."""
    root = ElementTree.Element('annotations')
    ElementTree.SubElement(root, 'version').text = '1.1'
    task = ElementTree.SubElement(ElementTree.SubElement(root, 'meta'), 'task')
    labels = ElementTree.SubElement(task, 'labels')
    for name, colour in zip(classes, voc_palette(1 + len(classes))[1:], strict=True):
        label = ElementTree.SubElement(labels, 'label')
        ElementTree.SubElement(label, 'name').text = name
        ElementTree.SubElement(label, 'color').text = f'#{bytes(colour).hex()}'
        ElementTree.SubElement(label, 'type').text = 'mask'
        ElementTree.SubElement(label, 'attributes')
    for number, image in enumerate(described):
        image.set('id', str(number))
        root.append(image)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode', xml_declaration=True) + '\n'
