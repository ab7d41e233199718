"""PyTorch's side of `deno task bench`: reads {"name", "do"} as JSON lines, answers with milliseconds or a checksum.

Each workload is a function that prepares its data and returns one iteration; the twin in workloads.ts has the same name.
"""

import json
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(2)


def pattern(*shape, dtype=torch.float32):
    """The same numbers as `pattern` in workloads.ts: ((7919 i) mod 1000) / 1000 - 0.5."""
    n = 1
    for s in shape:
        n *= s
    i = torch.arange(n, dtype=torch.int64)
    return (((i * 7919) % 1000).to(torch.float32) / 1000 - 0.5).reshape(shape).to(dtype)


class Guide(nn.Module):
    def __init__(self, users, items, dim):
        super().__init__()
        self.u, self.i = nn.Embedding(users, dim), nn.Embedding(items, dim)
        nn.init.normal_(self.u.weight, std=0.1)
        nn.init.normal_(self.i.weight, std=0.1)
        layers, width = [], 2 * dim
        for h in (512, 256, 128):
            layers += [nn.Linear(width, h), nn.BatchNorm1d(h), nn.ReLU(), nn.Dropout(0.2)]
            width = h
        self.d = nn.Sequential(*layers, nn.Linear(width, 1), nn.Sigmoid())

    def forward(self, a, b):
        return self.d(torch.cat([self.u(a), self.i(b)], 1)).squeeze(-1)


class Product(nn.Module):
    """The default model of examples/recommender.ts: users, what they bought before, and five candidates each."""

    def __init__(self, users, items, dim, length):
        super().__init__()
        self.u, self.i, self.b = nn.Embedding(users, dim), nn.Embedding(items, dim), nn.Embedding(items, 1)
        self.h = nn.Embedding(items + 1, dim, padding_idx=items)
        self.forget, self.blur = nn.Dropout(0.2), nn.Dropout(0.3)
        self.recency = nn.Parameter(torch.zeros(length))
        self.d = nn.Sequential(nn.Linear(2 * dim, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1))

    def forward(self, user, history, item):
        weight = self.forget(self.recency.exp() * (history != self.h.padding_idx))
        bought = weight.unsqueeze(1) @ self.h(history) / (weight.sum(1) + 1e-6).view(-1, 1, 1)
        i = self.blur(self.i(item))
        taste, fit = self.u(user).unsqueeze(1) * i, bought * i
        deep = self.d(torch.cat([taste, fit], 2).flatten(0, 1)).view(item.shape)
        return deep + fit.sum(2) + self.b(item).squeeze(-1)


def product_recommender(users, items, dim):
    """One step of the default model on 819 sales with four other products each: 4,095 pairs."""
    torch.manual_seed(0)
    rows, length = 819, 20
    model = Product(users, items, dim, length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    loss_of = nn.BCEWithLogitsLoss()
    label = torch.zeros(rows, 5)
    label[:, 0] = 1

    def step():
        user, item = torch.randint(0, users, (rows,)), torch.randint(0, items, (rows, 5))
        history = torch.randint(0, items + 1, (rows, length))
        loss = loss_of(model(user, history, item), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def guide_recommender(users, items, dim, batch, fused=False):
    torch.manual_seed(0)
    model = Guide(users, items, dim)
    options = {"fused": True} if fused else {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, **options)
    loss_of = nn.BCELoss()
    label = torch.randint(0, 2, (batch,)).float()

    def step():
        user, item = torch.randint(0, users, (batch,)), torch.randint(0, items, (batch,))
        loss = loss_of(model(user, item), label)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return step


def inference(quantize=False):
    torch.manual_seed(0)
    users, items = 1_000_000, 100_000
    model = Guide(users, items, 128).eval()
    if quantize:
        model = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8, inplace=True)
    user, item = torch.randint(0, users, (1000,)), torch.randint(0, items, (1000,))

    def predict():
        with torch.no_grad():
            return model(user, item)

    return predict


def unary(f, *shape):
    x = pattern(*shape)
    return lambda: f(x)


def binary(f, a, b):
    x, y = pattern(*a), pattern(*b)
    return lambda: f(x, y)


def both_ways(f, *shape):
    x = pattern(*shape).requires_grad_()

    def step():
        x.grad = None
        y = f(x)
        y.sum().backward()
        return x.grad

    return step


def convolution(options, shape, weight):
    x, w = pattern(*shape).requires_grad_(), pattern(*weight).requires_grad_()

    def step():
        x.grad = w.grad = None
        F.conv2d(x, w, **options).sum().backward()
        return x.grad

    return step


def attention(b, h, t, d, causal=False, masked=False):
    q, k, v = ((pattern(b, h, t, d) * i).requires_grad_() for i in (1, 2, 3))
    mask = pattern(b, 1, t, t) if masked else None

    def step():
        for x in (q, k, v):
            x.grad = None
        F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal).sum().backward()
        return k.grad

    return step


def recurrent(model, *shape):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(pattern(*p.shape) * 0.1)
    x = pattern(*shape).requires_grad_()

    def step():
        x.grad = None
        for p in model.parameters():
            p.grad = None
        model(x)[0].sum().backward()
        return x.grad

    return step


WORKLOADS = {
    "recommender product step 4096": lambda: product_recommender(4339, 3665, 64),
    "recommender guide step 4096": lambda: guide_recommender(4339, 3665, 64, 4096),
    "recommender 1M x 100k step 1024": lambda: guide_recommender(1_000_000, 100_000, 128, 1024),
    "recommender 1M x 100k step 1024, fused": lambda: guide_recommender(1_000_000, 100_000, 128, 1024, True),
    "recommender 1M x 100k inference 1000": inference,
    "recommender 1M x 100k inference 1000, int8": lambda: inference(True),
    "add 64": lambda: binary(torch.add, (64,), (64,)),
    "add 16M": lambda: binary(torch.add, (1 << 24,), (1 << 24,)),
    "exp 16M": lambda: unary(torch.exp, 1 << 24),
    "gelu 16M": lambda: unary(F.gelu, 1 << 24),
    "sum 4096 x 4096 dim 0": lambda: unary(lambda x: x.sum(0), 4096, 4096),
    "std 4096 x 4096 dim 1": lambda: unary(lambda x: x.std(1), 4096, 4096),
    "softmax 64 x 512 x 512 both ways": lambda: both_ways(lambda x: torch.softmax(x, -1).square(), 64, 512, 512),
    "layerNorm 4096 x 512 both ways": lambda: both_ways(lambda x: F.layer_norm(x, (512,)).square(), 4096, 512),
    "dropout 1024 x 512": lambda: unary(lambda x: F.dropout(x, 0.2), 1024, 512),
    "randn 16M": lambda: lambda: torch.randn(1 << 24),
    "randn 10M x 128": lambda: lambda: torch.randn(10_000_000, 128),
    "matmul 512": lambda: binary(torch.matmul, (512, 512), (512, 512)),
    "matmul 1024": lambda: binary(torch.matmul, (1024, 1024), (1024, 1024)),
    "matmul 1024 x 256 x 512": lambda: binary(torch.matmul, (1024, 256), (256, 512)),
    "matmul 2048": lambda: binary(torch.matmul, (2048, 2048), (2048, 2048)),
    "conv2d 8 x 64 x 56, 3 x 3, both ways": lambda: convolution(
        {"padding": 1}, (8, 64, 56, 56), (64, 64, 3, 3)
    ),
    "conv2d 8 x 128 x 28, 3 x 3, both ways": lambda: convolution(
        {"padding": 1}, (8, 128, 28, 28), (128, 128, 3, 3)
    ),
    "conv2d 8 x 256 x 14, 1 x 1, both ways": lambda: convolution({}, (8, 256, 14, 14), (1024, 256, 1, 1)),
    "conv2d 1 x 3 x 224, 7 x 7 by 2, both ways": lambda: convolution(
        {"padding": 3, "stride": 2}, (1, 3, 224, 224), (64, 3, 7, 7)
    ),
    "conv2d 8 x 144 x 28, depthwise, both ways": lambda: convolution(
        {"padding": 1, "groups": 144}, (8, 144, 28, 28), (144, 1, 3, 3)
    ),
    "attention 8 x 8 x 512 x 64": lambda: attention(8, 8, 512, 64),
    "attention 16 x 12 x 256 x 64 causal": lambda: attention(16, 12, 256, 64, causal=True),
    "attention 1 x 16 x 2048 x 64": lambda: attention(1, 16, 2048, 64),
    "attention 4 x 12 x 128 x 64 masked": lambda: attention(4, 12, 128, 64, masked=True),
    "attention 2 x 8 x 1024 x 128": lambda: attention(2, 8, 1024, 128),
    "LSTM 100 x 32, 128 to 128": lambda: recurrent(nn.LSTM(128, 128), 100, 32, 128),
    "LSTM 50 x 64, 256 to 256, 2 layers": lambda: recurrent(nn.LSTM(256, 256, 2), 50, 64, 256),
    "LSTM 200 x 1, 512 to 512": lambda: recurrent(nn.LSTM(512, 512), 200, 1, 512),
    "GRU 50 x 32, 128 to 128, both ways": lambda: recurrent(nn.GRU(128, 128, bidirectional=True), 50, 32, 128),
    "RNN 100 x 64, 64 to 256": lambda: recurrent(nn.RNN(64, 256), 100, 64, 64),
    "sort 1M": lambda: unary(lambda x: torch.sort(x).values, 1 << 20),
    "topk 100 of 1M": lambda: unary(lambda x: torch.topk(x, 100).values, 1 << 20),
}

RANDOM = ("recommender", "dropout", "randn")

prepared = {}
for line in sys.stdin:
    request = json.loads(line)
    name = request["name"]
    if request["do"] == "version":
        print(json.dumps(torch.__version__), flush=True)
        continue
    if request["do"] == "drop":
        prepared.pop(name, None)
        print("null", flush=True)
        continue
    if name not in prepared:
        prepared[name] = WORKLOADS[name]()
    iteration = prepared[name]
    if request["do"] == "check":
        sums = None
        if name.startswith(RANDOM):
            iteration()
        else:
            out = iteration().detach().double()
            sums = [out.sum().item(), out.abs().sum().item()]
        print(json.dumps(sums), flush=True)
        continue
    begin = time.perf_counter()
    for _ in range(request["times"]):
        iteration()
    print(json.dumps((time.perf_counter() - begin) * 1e3 / request["times"]), flush=True)
