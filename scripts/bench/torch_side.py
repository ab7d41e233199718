"""PyTorch's side of `deno task bench`: reads requests as JSON lines, answers with milliseconds or a result.

A family is a function of dims that prepares its data and returns one iteration; the twins are in op_families.ts.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

from torch_models import MODELS
from torch_nets import NETS
from torch_numbers import both_ways, numbers, places, plain

torch.set_num_threads(2)


def product16(m, k, n):
    a, b = numbers(m, k).bfloat16(), numbers(k, n).bfloat16()
    return lambda: a @ b


def einsum(equation, *shapes):
    return plain(lambda *xs: torch.einsum(equation, *xs), *shapes)


def add_with_gradient(n):
    x, y = numbers(n).requires_grad_(), numbers(n)
    return lambda: x + y


def adds(n):
    def chain(x, y):
        z = x
        for _ in range(100):
            z = z + y
        return z

    return both_ways(chain, (n,), (n,))


def item(n):
    x = numbers(n)

    def run():
        x.item()
        return x

    return run


def add_in_place(n):
    x, y = numbers(n), numbers(n) * 1e-6
    return lambda: x.add_(y)


def copy(n):
    x, y = numbers(n), torch.empty(n)
    return lambda: y.copy_(x)


def sort_of_ints(n):
    x = places(100_000, n)
    return lambda: torch.sort(x, stable=True).indices


def cross_entropy(m, v):
    target = places(v, m)
    return both_ways(lambda x: F.cross_entropy(x, target), (m, v))


def embedding(k, rows, d):
    table, index = numbers(rows, d), places(rows, k)
    return lambda: F.embedding(index, table)


def embedding_both_ways(k, rows, d):
    table, index = numbers(rows, d).requires_grad_(), places(rows, k)

    def step():
        table.grad = None
        y = F.embedding(index, table)
        y.sum().backward()
        return y

    return step


def attention(b, h, t, d, causal=False, masked=False):
    q, k, v = ((numbers(b, h, t, d) * i).requires_grad_() for i in (1, 2, 3))
    mask = numbers(b, 1, t, t) if masked else None

    def step():
        for x in (q, k, v):
            x.grad = None
        F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal).sum().backward()
        return k.grad

    return step


def attention_forward(*dims):
    q, k, v = (numbers(*dims) for _ in range(3))

    def run():
        with torch.no_grad():
            return F.scaled_dot_product_attention(q, k, v)

    return run


def conv(way, b, c, s, o, k, l, stride):
    return way(lambda x, w: F.conv2d(x, w, padding=k >> 1, stride=stride), (b, c, s, s), (o, c, k, l))


OPS = {
    "matmul {} x {} x {}": lambda m, k, n: plain(torch.matmul, (m, k), (k, n)),
    "matmul bfloat16 {} x {} x {}": product16,
    "matmul of a vector by {} x {}": lambda k, n: plain(torch.matmul, (1, k), (k, n)),
    "bmm {} of {} x {} x {}": lambda b, m, k, n: plain(torch.bmm, (b, m, k), (b, k, n)),
    "linear {} x {} to {}": lambda m, k, n: plain(
        lambda x, w, b: F.linear(x, w, b.view(-1)), (m, k), (n, k), (n, 1)
    ),
    "einsum bhid,bhjd->bhij {} x {} x {} x {}": lambda *x: einsum("bhid,bhjd->bhij", x, x),
    "einsum bhij,bhjd->bihd {} x {} x {} x {}": lambda b, h, t, d: einsum(
        "bhij,bhjd->bihd", (b, h, t, t), (b, h, t, d)
    ),
    "einsum btc,hcd->bhtd {} x {} x {} x {} x {}": lambda b, t, c, h, d: einsum(
        "btc,hcd->bhtd", (b, t, c), (h, c, d)
    ),
    "einsum bn,anm,bm->ba {} x {} x {}": lambda b, a, n: einsum("bn,anm,bm->ba", (b, n), (a, n, n), (b, n)),
    "einsum bchw,oc->bohw {} x {} x {} x {}": lambda b, c, s, o: einsum("bchw,oc->bohw", (b, c, s, s), (o, c)),
    "add of {}": lambda n: plain(torch.add, (n,), (n,)),
    "add of {} with gradient": add_with_gradient,
    "100 adds of {} and back": adds,
    "transposed view of {} x {}": lambda *x: plain(torch.t, x),
    "sum of {}": lambda n: plain(torch.sum, (n,)),
    "item of {}": item,
    "matmul of {} x {}": lambda m, n: plain(torch.matmul, (m, n), (n, m)),
    "add {}": lambda n: plain(torch.add, (n,), (n,)),
    "add in place {}": add_in_place,
    "relu of x y + x {}": lambda n: plain(lambda x, y: (x * y + x).relu(), (n,), (n,)),
    "exp {}": lambda n: plain(torch.exp, (n,)),
    "expm1 {}": lambda n: plain(torch.expm1, (n,)),
    "log1p {}": lambda n: plain(torch.log1p, (n,)),
    "sin {}": lambda n: plain(torch.sin, (n,)),
    "tanh {}": lambda n: plain(torch.tanh, (n,)),
    "sigmoid {}": lambda n: plain(torch.sigmoid, (n,)),
    "erf {}": lambda n: plain(torch.erf, (n,)),
    "gelu {}": lambda n: plain(F.gelu, (n,)),
    "gelu with tanh {}": lambda n: plain(lambda x: F.gelu(x, approximate="tanh"), (n,)),
    "asin {}": lambda n: plain(torch.asin, (n,)),
    "atanh {}": lambda n: plain(torch.atanh, (n,)),
    "erfinv {}": lambda n: plain(torch.erfinv, (n,)),
    "copy {}": copy,
    "to bfloat16 {}": lambda n: plain(torch.Tensor.bfloat16, (n,)),
    "dropout {} x {}": lambda *x: plain(lambda x: F.dropout(x, 0.2), x),
    "randn {}": lambda n: lambda: torch.randn(n),
    "randn {} x {}": lambda m, n: lambda: torch.randn(m, n),
    "rand {}": lambda n: lambda: torch.rand(n),
    "randint {}": lambda n: lambda: torch.randint(0, 1000, (n,)),
    "sum {} x {}": lambda *x: plain(torch.sum, x),
    "sum {} x {}, dim 0": lambda *x: plain(lambda x: x.sum(0), x),
    "sum {} x {}, dim 1": lambda *x: plain(lambda x: x.sum(1), x),
    "std {} x {}, dim 0": lambda *x: plain(lambda x: x.std(0), x),
    "std {} x {}, dim 1": lambda *x: plain(lambda x: x.std(1), x),
    "max {} x {}, dim 1": lambda *x: plain(lambda x: x.max(1).values, x),
    "argmax {} x {}, dim 1": lambda *x: plain(lambda x: x.argmax(1), x),
    "cumsum {} x {}, dim 1": lambda *x: plain(lambda x: x.cumsum(1), x),
    "transpose {} x {}": lambda *x: plain(lambda x: x.t().contiguous(), x),
    "permute 0 2 1 3 of {} x {} x {} x {}": lambda *x: plain(lambda x: x.permute(0, 2, 1, 3).contiguous(), x),
    "cat of two {} x {}": lambda *x: plain(lambda x, y: torch.cat([x, y]), x, x),
    "sort {}": lambda n: plain(lambda x: torch.sort(x).values, (n,)),
    "sort {} x {}, dim 1": lambda *x: plain(lambda x: torch.sort(x).values, x),
    "sort {} x {}, dim 0": lambda *x: plain(lambda x: torch.sort(x, 0).values, x),
    "stable sort of int64 {}": sort_of_ints,
    "sort of bfloat16 {}, descending": lambda n: plain(
        lambda x: torch.sort(x.bfloat16(), descending=True).values, (n,)
    ),
    "topk {} of {}": lambda k, n: plain(lambda x: torch.topk(x, k).values, (n,)),
    "topk {} of {} x {}": lambda k, *x: plain(lambda x: torch.topk(x, k).values, x),
    "softmax {} x {} x {}": lambda *x: plain(lambda x: torch.softmax(x, -1), x),
    "softmax {} x {} x {}, both ways": lambda *x: both_ways(lambda x: torch.softmax(x, -1).square(), x),
    "cross-entropy {} x {}, both ways": cross_entropy,
    "layer norm {} x {}": lambda m, n: plain(lambda x: F.layer_norm(x, (n,)), (m, n)),
    "layer norm {} x {}, both ways": lambda m, n: both_ways(
        lambda x, w: F.layer_norm(x, (n,), w.view(-1)).square(), (m, n), (n, 1)
    ),
    "RMS norm {} x {}, both ways": lambda m, n: both_ways(
        lambda x, w: F.rms_norm(x, (n,), w.view(-1)).square(), (m, n), (n, 1)
    ),
    "batch norm {} x {}, both ways": lambda *x: both_ways(
        lambda x: F.batch_norm(x, None, None, training=True).relu(), x
    ),
    "embedding of {} rows of {} x {}": embedding,
    "embedding of {} rows of {} x {}, both ways": embedding_both_ways,
    "conv2d {} x {} x {} to {}, {} x {}, step {}": lambda *x: conv(plain, *x),
    "conv2d {} x {} x {} to {}, {} x {}, step {}, both ways": lambda *x: conv(both_ways, *x),
    "depthwise conv2d {} x {} x {}, {} x {}, both ways": lambda b, c, s, k, l: both_ways(
        lambda x, w: F.conv2d(x, w, padding=k >> 1, groups=c), (b, c, s, s), (c, 1, k, l)
    ),
    "attention {} x {} x {} x {}": attention,
    "attention {} x {} x {} x {}, causal": lambda *x: attention(*x, causal=True),
    "attention {} x {} x {} x {}, masked": lambda *x: attention(*x, masked=True),
    "attention {} x {} x {} x {}, forward": attention_forward,
}

FAMILIES = OPS | MODELS | NETS
SAMPLES = 1 << 20


def result(iteration, path):
    """Writes the result as float64, or elements of it at even distances where it is large; answers with its dtype."""
    out = iteration().detach().reshape(-1)
    out[:: -(-max(1, out.numel()) // SAMPLES)].double().numpy().tofile(path)
    return str(out.dtype).removeprefix("torch.")


def measure(iteration, times):
    begin = time.perf_counter()
    for _ in range(times):
        iteration()
    return (time.perf_counter() - begin) * 1e3 / times


def answers():
    iteration = None
    for line in sys.stdin:
        request = json.loads(line)
        match request["do"]:
            case "version":
                yield torch.__version__
            case "families":
                yield sorted(FAMILIES)
            case "prepare":
                iteration = None
                iteration = FAMILIES[request["family"]](*request["dims"])
                yield None
            case "result":
                yield result(iteration, request["path"])
            case "run":
                yield measure(iteration, request["times"])


for answer in answers():
    print(json.dumps(answer), flush=True)
