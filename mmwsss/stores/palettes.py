"""Colours of label maps."""


def voc_palette(num_classes: int) -> list[list[int]]:
    """The colour map of PASCAL VOC continued to ``num_classes`` colours.

    Bits 0, 1, 2 of the class index set the highest bits of red, green, blue, bits 3, 4, 5
    the next highest, and so on.
    """
    return [
        [
            sum(((index >> (3 * k + channel)) & 1) << (7 - k) for k in range(8))
            for channel in range(3)
        ]
        for index in range(num_classes)
    ]
