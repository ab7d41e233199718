"""The recommender of examples/recommender.ts in PyTorch, on the same data, split and test candidates.

Usage: recommender_torch.py PARQUET [--model product|guide] [--epochs N] [--seed N]; prints one JSON line.
"""

import argparse
import json
import time

import numpy as np
import pandas as pd
import torch
import torch.nn as nn

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--model", default="product", choices=["product", "guide"])
parser.add_argument("--epochs", type=int)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
guide = args.model == "guide"
epochs = args.epochs or (10 if guide else 12)
torch.set_num_threads(2)
torch.manual_seed(args.seed)


def random_numbers(seed):
    """mulberry32, as in the example."""
    state = seed & 0xFFFFFFFF

    def draw():
        nonlocal state
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        t = ((state ^ (state >> 15)) * (state | 1)) & 0xFFFFFFFF
        t ^= (t + (((t ^ (t >> 7)) * (t | 61)) & 0xFFFFFFFF)) & 0xFFFFFFFF
        return (t ^ (t >> 14)) / 2**32

    return draw


d = pd.read_parquet(args.data, columns=["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "CustomerID"])
d = d[d.CustomerID.notna() & ~d.InvoiceNo.astype(str).str.startswith("C") & (d.Quantity > 0)]
d = d.sort_values("InvoiceDate", kind="stable").drop_duplicates(["CustomerID", "StockCode"])
u = d.CustomerID.astype("category").cat.codes.to_numpy().astype(np.int64)
i = d.StockCode.astype("category").cat.codes.to_numpy().astype(np.int64)
users, items = int(u.max()) + 1, int(i.max()) + 1
order = np.lexsort((np.arange(len(u)), u))
u, i = u[order], i[order]
count = np.bincount(u, minlength=users)
start = np.concatenate([[0], np.cumsum(count)])
last = count[u] - 1 - (np.arange(len(u)) - start[u])
held = count[u] >= 5
test, valid = held & (last == 0), held & (last == 1)
train = ~(test | valid)

draw = random_numbers(args.seed ^ 0x5EED)


def candidates(rows):
    out_u, out_i = np.empty((len(rows), 100), np.int64), np.empty((len(rows), 100), np.int64)
    for r, row in enumerate(rows):
        bought = set(i[start[u[row]] : start[u[row] + 1]])
        out_u[r] = u[row]
        out_i[r, 0] = i[row]
        k = 1
        while k < 100:
            j = int(draw() * items)
            if j not in bought:
                out_i[r, k] = j
                k += 1
    return out_u.ravel(), out_i.ravel()


candidates(np.flatnonzero(valid))
test_u, test_i = candidates(np.flatnonzero(test))


class Product(nn.Module):
    def __init__(self, e=64):
        super().__init__()
        self.u, self.i, self.b = nn.Embedding(users, e), nn.Embedding(items, e), nn.Embedding(items, 1)
        nn.init.normal_(self.u.weight, std=0.05)
        nn.init.normal_(self.i.weight, std=0.05)
        nn.init.zeros_(self.b.weight)
        self.d = nn.Sequential(nn.Linear(3 * e, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 1))

    def forward(self, a, b):
        x, y = self.u(a), self.i(b)
        return (self.d(torch.cat([x, y, x * y], 1)) + self.b(b)).squeeze(-1)


class Guide(nn.Module):
    def __init__(self, e=64):
        super().__init__()
        self.u, self.i = nn.Embedding(users, e), nn.Embedding(items, e)
        layers, width = [], 2 * e
        for h in (512, 256, 128):
            layers += [nn.Linear(width, h), nn.BatchNorm1d(h), nn.ReLU(), nn.Dropout(0.2)]
            width = h
        self.d = nn.Sequential(*layers, nn.Linear(width, 1), nn.Sigmoid())
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.zeros_(m.bias)
            if isinstance(m, nn.Embedding):
                nn.init.normal_(m.weight, std=0.1)

    def forward(self, a, b):
        return self.d(torch.cat([self.u(a), self.i(b)], 1)).squeeze(-1)


model = Guide() if guide else Product()
tables = [model.u.weight, model.i.weight]
rest = [p for p in model.parameters() if not any(p is t for t in tables)]
optimizer = (
    torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    if guide
    else torch.optim.AdamW(
        [{"params": tables, "weight_decay": 1.0}, {"params": rest, "weight_decay": 0.01}], lr=2e-3
    )
)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
criterion = nn.BCELoss() if guide else nn.BCEWithLogitsLoss()
pu, pi = u[train], i[train]
rng = np.random.default_rng(args.seed)
steps, seconds = 0, 0.0
for epoch in range(epochs):
    a = np.tile(pu, 5)
    b = np.concatenate([pi, rng.integers(0, items, 4 * len(pi))])
    y = np.concatenate([np.ones(len(pi)), np.zeros(4 * len(pi))]).astype(np.float32)
    p = rng.permutation(len(a))
    model.train()
    begin = time.perf_counter()
    for k in range(0, len(p), 4096):
        j = p[k : k + 4096]
        loss = criterion(model(torch.from_numpy(a[j]), torch.from_numpy(b[j])), torch.from_numpy(y[j]))
        optimizer.zero_grad()
        loss.backward()
        if guide:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    seconds += time.perf_counter() - begin
    scheduler.step()

model.eval()
with torch.no_grad():
    score = torch.cat(
        [
            model(torch.from_numpy(test_u[k : k + 16384]), torch.from_numpy(test_i[k : k + 16384]))
            for k in range(0, len(test_u), 16384)
        ]
    ).numpy()
rows = score.reshape(-1, 100)
rank = (rows[:, 1:] > rows[:, :1]).sum(1) + 0.5 * (rows[:, 1:] == rows[:, :1]).sum(1)
result = {
    "auc": float(1 - (rank / 99).mean()),
    "hitRate10": float((rank < 10).mean()),
    "ndcg10": float(np.where(rank < 10, 1 / np.log2(rank + 2), 0).mean()),
}
print(json.dumps({"test": {"model": result}, "seconds": {"train": seconds, "perStep": seconds / steps, "perEpoch": seconds / epochs}}))
