"""The kernel on colour differences that PAR and PAMR have in common."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ColourKernel:
    """``softmax_n(-mean_c (|I_n - I_0| / (width (std + epsilon))) ** power)``.

    Attributes:
        width, epsilon, power: See above.
        with_centre: The std counts the centre, too, once per dilation.
    """

    width: float
    epsilon: float
    power: int
    with_centre: bool
