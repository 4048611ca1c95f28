"""Vectors of float32 lanes for numba kernels.

LLVM does not vectorise loops of a few iterations over arrays that might overlap, which is what
operations on one pixel's labels are. These functions say what is meant: a row of an array is
loaded into one register, and stays there. ``lanes`` is any tuple; its length, known when the
kernel is compiled, is the number of lanes.
"""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
# coefficients of exp on [-ln(2)/2, ln(2)/2] (Cephes), highest power first
_EXP = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)


class Vector(types.Type):
    """Numba type of a vector."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f'float32x{width}')


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type) -> None:
        super().__init__(manager, fe_type, ir.VectorType(_FLOAT, fe_type.width))


def _row_pointer(context, builder, array_type, array, row, width):
    view = context.make_array(array_type)(context, builder, array)
    rows = builder.bitcast(view.data, ir.VectorType(_FLOAT, width).as_pointer())
    return builder.gep(rows, [row])


def _constant(vector_type, value):
    return ir.Constant(vector_type, [value] * vector_type.count)


def _fill(builder, scalar, vector_type):
    first = builder.insert_element(
        ir.Constant(vector_type, ir.Undefined), scalar, ir.Constant(_INT, 0)
    )
    zeros = ir.Constant(ir.VectorType(_INT, vector_type.count), [0] * vector_type.count)
    return builder.shuffle_vector(first, first, zeros)


def _call(builder, name, result, *args):
    kind = ir.FunctionType(result, [a.type for a in args])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, args, fastmath=('fast',))


@intrinsic
def load(typing, array, row, lanes):
    """Row ``array[row]`` of a C-contiguous 2-d float32 array with as many columns as lanes."""
    width = lanes.count

    def generate(context, builder, signature, args):
        row = context.cast(builder, args[1], signature.args[1], types.intp)
        pointer = _row_pointer(context, builder, signature.args[0], args[0], row, width)
        return builder.load(pointer, align=4)

    return Vector(width)(array, row, lanes), generate


@intrinsic
def store(typing, array, row, vector):
    """``array[row] = vector``."""

    def generate(context, builder, signature, args):
        row = context.cast(builder, args[1], signature.args[1], types.intp)
        width = signature.args[2].width
        pointer = _row_pointer(context, builder, signature.args[0], args[0], row, width)
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, row, vector), generate


@intrinsic
def fill(typing, value, lanes):
    """Vector of equal float32 lanes."""

    def generate(context, builder, signature, args):
        scalar = context.cast(builder, args[0], signature.args[0], types.float32)
        return _fill(builder, scalar, ir.VectorType(_FLOAT, signature.return_type.width))

    return Vector(lanes.count)(value, lanes), generate


@intrinsic
def zero(typing, lanes):
    """Vector of zeros."""

    def generate(context, builder, signature, args):
        return _constant(ir.VectorType(_FLOAT, signature.return_type.width), 0.0)

    return Vector(lanes.count)(lanes), generate


@intrinsic
def add_scaled(typing, total, factor, vector):
    """``total + factor * vector`` with a float32 factor."""

    def generate(context, builder, signature, args):
        kind = args[0].type
        name = f'llvm.fma.v{kind.count}f32'
        return _call(builder, name, kind, _fill(builder, args[1], kind), args[2], args[0])

    return total(total, types.float32, vector), generate


@intrinsic
def add_product(typing, total, a, b):
    """Lane-wise ``total + a * b``."""

    def generate(context, builder, signature, args):
        name = f'llvm.fma.v{args[0].type.count}f32'
        return _call(builder, name, args[0].type, args[1], args[2], args[0])

    return total(total, a, b), generate


@intrinsic
def add(typing, a, b):
    """Lane-wise sum."""
    return a(a, b), lambda context, builder, signature, args: builder.fadd(*args)


def _larger(builder, a, b):
    return builder.select(builder.fcmp_ordered('>', a, b), a, b)


@intrinsic
def maximum(typing, a, b):
    """Lane-wise maximum."""
    return a(a, b), lambda context, builder, signature, args: _larger(builder, *args)


@intrinsic
def tanh_half(typing, vector, decay):
    """Lane-wise ``tanh(x / 2)``, given ``decay = exp(-|x|)``."""

    def generate(context, builder, signature, args):
        kind = args[0].type
        one = _constant(kind, 1.0)
        size = builder.fdiv(builder.fsub(one, args[1]), builder.fadd(one, args[1]))
        return _call(builder, f'llvm.copysign.v{kind.count}f32', kind, size, args[0])

    return vector(vector, decay), generate


def _reduction(name, start, about):
    def typed(typing, vector):
        def generate(context, builder, signature, args):
            full = f'llvm.vector.reduce.{name}.v{args[0].type.count}f32'
            first = () if start is None else (ir.Constant(_FLOAT, start),)
            return _call(builder, full, _FLOAT, *first, args[0])

        return types.float32(vector), generate

    typed.__doc__ = about
    return typed


lane_sum = intrinsic(_reduction('fadd', 0.0, 'Sum of the lanes.'))
lane_max = intrinsic(_reduction('fmax', None, 'Maximum of the lanes.'))


def _of_four(combine, about):
    def typed(typing, vector):
        def generate(context, builder, signature, args):
            value = args[0]
            for step in 1, 2:  # with the neighbour, then with the neighbouring two
                other = [ir.Constant(_INT, lane ^ step) for lane in range(vector.width)]
                mask = ir.Constant(ir.VectorType(_INT, vector.width), other)
                value = combine(builder, value, builder.shuffle_vector(value, value, mask))
            return value

        return vector(vector), generate

    typed.__doc__ = about
    return typed


max_of_four = intrinsic(_of_four(_larger, 'The maximum of every four lanes, in all four.'))
sum_of_four = intrinsic(_of_four(ir.IRBuilder.fadd, 'The sum of every four lanes, in all four.'))


@intrinsic
def reciprocal(typing, vector):
    """Lane-wise ``1 / x``, by a step of Newton's more exact than LLVM's estimate."""

    def generate(context, builder, signature, args):
        kind = args[0].type
        one, name = _constant(kind, 1.0), f'llvm.fma.v{kind.count}f32'
        guess = builder.fdiv(one, args[0])
        rest = _call(builder, name, kind, builder.fneg(args[0]), guess, one)
        return _call(builder, name, kind, guess, rest, guess)

    return vector(vector), generate


@intrinsic
def exp(typing, vector):
    """Lane-wise exponential of values <= 0; relative error about 1e-7, 0 below -60.

    The cut keeps subnormal numbers, which are slow, out of what is computed with the result.
    """

    def generate(context, builder, signature, args):
        x, kind = args[0], args[0].type
        ints = ir.VectorType(_INT, kind.count)

        def fma(a, b, c):
            return _call(builder, f'llvm.fma.v{kind.count}f32', kind, a, b, c)

        def constant(value):
            return _constant(kind, value)

        lowest = constant(-60.0)
        dead = builder.fcmp_ordered('<', x, lowest)
        x = builder.select(dead, lowest, x)
        power = fma(x, constant(1.44269504088896341), constant(0.5))
        power = _call(builder, f'llvm.floor.v{kind.count}f32', kind, power)
        rest = fma(power, constant(-0.693359375), x)
        rest = fma(power, constant(2.12194440e-4), rest)
        value = constant(_EXP[0])
        for coefficient in _EXP[1:]:
            value = fma(value, rest, constant(coefficient))
        value = fma(builder.fmul(value, rest), rest, builder.fadd(rest, constant(1.0)))
        bits = builder.add(builder.fptosi(power, ints), _constant(ints, 127))
        two_to = builder.bitcast(builder.shl(bits, _constant(ints, 23)), kind)
        return builder.select(dead, constant(0.0), builder.fmul(value, two_to))

    return vector(vector), generate
