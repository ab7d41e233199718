"""The numbers that both sides of `deno task bench` compute with; the twins are in family.ts."""

import torch

PERIOD = 1 << 20


def _scattered():
    def mixed(x):
        return (x ^ (x >> 16)) * 0x45D9F3B & 0xFFFFFFFF

    x = mixed(mixed(torch.arange(PERIOD, dtype=torch.int64)))
    return ((x ^ (x >> 16)) >> 8).to(torch.float32) / (1 << 24) - 0.5


_numbers = _scattered()


def numbers(*shape):
    """Numbers spread over -0.5 ... 0.5 without order; longer tensors repeat a period."""
    n = 1
    for size in shape:
        n *= size
    if n <= PERIOD:
        return _numbers[:n].clone().view(shape)
    return _numbers.repeat(-(-n // PERIOD))[:n].view(shape)


def places(below, *shape):
    """Row numbers 0 ... below."""
    return ((numbers(*shape) + 0.5) * below).to(torch.int64)


def fill(parameters, scale):
    with torch.no_grad():
        for p in parameters:
            p.copy_(numbers(*p.shape) * scale)


def plain(f, *shapes):
    xs = [numbers(*shape) for shape in shapes]
    return lambda: f(*xs)


def both_ways(f, *shapes):
    xs = [numbers(*shape).requires_grad_() for shape in shapes]

    def step():
        for x in xs:
            x.grad = None
        f(*xs).sum().backward()
        return xs[0].grad

    return step
