"""PyTorch's side of `deno task bench --device cuda`: reads requests as JSON lines, answers each with one. Every family gives
one iteration for a mode: eager, compile (torch.compile), graph (a CUDA graph of the eager iteration). Without a GPU it
computes on the CPU, so that results can be compared; times say nothing then.
"""

import json
import math
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_numbers import fill, numbers, places

HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU else "cpu"


def there(x):
    return x.to(DEVICE)


def elementwise(f, dtype=torch.float32):
    def prepare(compiled, n):
        x = there(numbers(n).to(dtype))
        g = compiled(f)
        return lambda: g(x)

    return prepare


def rows(f):
    def prepare(compiled, m, n):
        x, g = there(numbers(m, n)).requires_grad_(), there(numbers(m, n))
        h = compiled(f)

        def step():
            x.grad = None
            h(x).backward(g)
            return x.grad

        return step

    return prepare


def product(dtype):
    def prepare(compiled, m, k, n):
        a, b = there(numbers(m, k).to(dtype)), there(numbers(k, n).to(dtype))
        f = compiled(torch.matmul)
        return lambda: f(a, b)

    return prepare


def convolution(compiled, batch, channels, side):
    w = there(numbers(channels, channels, 3, 3).to(torch.bfloat16)).requires_grad_()
    x, g = (there(numbers(batch, channels, side, side).to(torch.bfloat16)) for _ in range(2))
    x.requires_grad_()
    f = compiled(lambda x, w: F.conv2d(x, w, padding=1))

    def step():
        x.grad = w.grad = None
        f(x, w).backward(g)
        return w.grad

    return step


def attention(compiled, batch, heads, length, width):
    q, k, v, g = (there(numbers(batch, heads, length, width).to(torch.bfloat16)) for _ in range(4))
    for t in (q, k, v):
        t.requires_grad_()
    f = compiled(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))

    def step():
        q.grad = k.grad = v.grad = None
        f(q, k, v).backward(g)
        return q.grad

    return step


class Recommender(nn.Module):
    def __init__(self, users, width, sparse):
        super().__init__()
        self.user = nn.Embedding(users, width, sparse=sparse)
        self.item = nn.Embedding(math.ceil(users / 10), width, sparse=sparse)
        self.deep = nn.Sequential(nn.Linear(2 * width, 256), nn.ReLU(), nn.Linear(256, 1))

    def forward(self, u, i):
        return self.deep(torch.cat([self.user(u), self.item(i)], 1)).squeeze(-1)


def recommender(compiled, users, width, batch, sparse=False):
    with torch.device(DEVICE):
        model = Recommender(users, width, sparse)
    fill(model.parameters(), 0.1)
    if sparse:
        optimizers = [
            torch.optim.SparseAdam([model.user.weight, model.item.weight], lr=1e-3),
            torch.optim.AdamW(model.deep.parameters(), lr=1e-3),
        ]
    else:
        optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-3, capturable=HAS_GPU)]
    u, i = there(places(users, batch)), there(places(math.ceil(users / 10), batch))
    y = there((numbers(batch) > 0).float())
    forward = compiled(model)

    def step():
        loss = F.binary_cross_entropy_with_logits(forward(u, i), y)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    return step


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.qkv, self.proj = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.ln2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (p.view(b, t, self.heads, c // self.heads).transpose(1, 2) for p in self.qkv(self.ln1(x)).split(c, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self, layers, heads, width, tokens, vocabulary):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(tokens, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln = nn.LayerNorm(width)

    def forward(self, index):
        x = self.wte(index) + self.wpe.weight
        for block in self.blocks:
            x = block(x)
        return F.linear(self.ln(x), self.wte.weight)


def gpt2(compiled, layers, heads, width, vocabulary, b, t):
    with torch.device(DEVICE):
        model = Gpt2(layers, heads, width, t, vocabulary)
    fill(model.parameters(), 0.04)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=HAS_GPU, capturable=HAS_GPU)
    index, target = there(places(vocabulary, b, t)), there(places(vocabulary, b * t))
    forward = compiled(model)

    def step():
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            loss = F.cross_entropy(forward(index).view(-1, vocabulary), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


FAMILIES = {
    "copy {}": elementwise(lambda x: x.clone()),
    "add {}": elementwise(lambda x: x + 1),
    "gelu {}": elementwise(F.gelu),
    "gelu bfloat16 {}": elementwise(F.gelu, torch.bfloat16),
    "sum {}": elementwise(torch.sum),
    "layer norm {} x {}, both ways": rows(lambda x: F.layer_norm(x, x.shape[1:])),
    "softmax {} x {}, both ways": rows(lambda x: F.softmax(x, -1)),
    "matmul float32 {} x {} x {}": product(torch.float32),
    "matmul bfloat16 {} x {} x {}": product(torch.bfloat16),
    "matmul float16 {} x {} x {}": product(torch.float16),
    "conv2d bfloat16 {} x {} channels x {} squared, both ways": convolution,
    "attention bfloat16 {} x {} heads x {} x {}, causal, both ways": attention,
    "recommender {} x {}, batch {}": recommender,
    "GPT-2 of {} layers, {} heads, {} wide, {} tokens known, {} x {}, bfloat16": gpt2,
}


def sparse(family):
    if family is not recommender:
        raise ValueError("there is no sparse form")
    return lambda *arguments: recommender(*arguments, sparse=True)


def captured(step):
    """The iteration as a CUDA graph, after runs on another stream as PyTorch's documentation asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def prepare(family, dims, mode):
    if mode in ("compile", "graph") and not HAS_GPU:
        raise ValueError("there is no GPU")
    compiled = torch.compile if mode == "compile" else lambda f: f
    make = FAMILIES[family]
    step = (sparse(make) if mode == "sparse" else make)(compiled, *dims)
    out = step().detach().double()
    check = [out.sum().item(), out.abs().sum().item()]
    return (captured(step) if mode == "graph" else step), check


def timed(step, times):
    if not HAS_GPU:
        begin = time.perf_counter()
        for _ in range(times):
            step()
        return (time.perf_counter() - begin) * 1e3 / times
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    for _ in range(times):
        step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / times


iteration = None
for line in sys.stdin:
    request = json.loads(line)
    try:
        match request["do"]:
            case "device":
                value = f"PyTorch {torch.__version__} on {torch.cuda.get_device_name() if HAS_GPU else 'the CPU'}"
            case "families":
                value = sorted(FAMILIES)
            case "prepare":
                iteration = None
                if HAS_GPU:
                    torch.cuda.empty_cache()
                iteration, value = prepare(request["family"], request["dims"], request["mode"])
            case "time":
                value = timed(iteration, request["times"])
        print(json.dumps({"value": value}), flush=True)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}), flush=True)
