"""PyTorch's side of sweep.ts: reads n and expressions as JSON, prints the milliseconds of each."""

import json
import sys
import time
import warnings

import torch
import torch.nn.functional as F  # noqa: F401

warnings.simplefilter("ignore")
torch.set_num_threads(2)
request = json.load(sys.stdin)
n = request["n"]
x, y, z = torch.randn(n, n), torch.randn(n, n), torch.rand(n, n) * 0.98 + 0.01
c, d, x2, v, x3 = x > 0, y > 0, x.clone(), torch.randn(n), x.view(n // 32, 32, n)
p, q, s = torch.randn(n * 40, 3), torch.randn(n * 40, 3), torch.randn(n // 2, 64)
i, ii, lab = torch.randint(0, n, (n,)), torch.randint(0, n, (n, n)), torch.randint(0, n, (n,))
b, sv = torch.randint(0, 1000, (n * n // 4,)), torch.linspace(-3, 3, 1000)
im, bm, bv = torch.randn(n // 128, 64, 64, 64), torch.zeros(64), torch.ones(64)
xi, yi = torch.randint(1, 1000, (n, n)), torch.randint(1, 1000, (n, n))
x8, y8, x32, y32 = xi.to(torch.uint8), yi.to(torch.uint8), xi.int(), yi.int()
xd, yd, xb, yb, xh, yh = x.double(), y.double(), x.bfloat16(), y.bfloat16(), x.half(), y.half()
sd = torch.randn(512, 512).double()
m = min(n, 512)
sq, tall, few = torch.randn(m, m), torch.randn(m, m // 4), torch.randn(1000, 8, 8)
sy, pd = sq + sq.mT, sq @ sq.mT + torch.eye(m) * m
sqd, syd = sq.double(), sy.double()


def lower_sixth(run, seconds):
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 6]


answer = {}
for expression in request["expressions"]:
    run = eval("lambda: " + expression)
    lower_sixth(run, 0.05)
    answer[expression] = lower_sixth(run, 0.15) * 1000
print(json.dumps(answer))
