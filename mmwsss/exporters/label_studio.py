"""Label Studio: tasks with a brush for each class as prediction, and the labelling interface."""

import json
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import quoteattr

from ..stores.palettes import voc_palette
from ..utils.run_lengths import encode_brush
from .formats import ExportOptions, Picture
from .regions import class_regions


def describe(picture: Picture, classes: Sequence[str], options: ExportOptions) -> dict:
    """A task; brushes are packed run lengths, holes and all."""
    height, width = picture.mask.shape
    brushes = [
        dict(
            id=f'class_{region.value}',
            type='brushlabels',
            from_name='brush',
            to_name='image',
            original_width=width,
            original_height=height,
            image_rotation=0,
            value=dict(
                format='rle',
                rle=encode_brush(region.full(picture.mask.shape)),
                brushlabels=[classes[region.value - 1]],
            ),
        )
        for region in class_regions(picture.mask)
    ]
    data = dict(image=picture.url, image_id=picture.image_id, width=width, height=height)
    return dict(data=data, predictions=[dict(model_version='mmwsss', result=brushes)])


def join(described: Iterable[dict], classes: Sequence[str], options: ExportOptions) -> str:
    """The file."""
    return json.dumps(list(described))


def interface(classes: Sequence[str]) -> str:
    """The labelling configuration that the tasks need."""
    colours = voc_palette(1 + len(classes))[1:]
    labels = ''.join(
        f'    <Label value={quoteattr(name)} background="#{bytes(colour).hex()}"/>\n'
        for name, colour in zip(classes, colours, strict=True)
    )
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="brush" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
    )
