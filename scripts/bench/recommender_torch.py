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
parser.add_argument("--history", type=int, default=20)
args = parser.parse_args()
guide = args.model == "guide"
epochs = args.epochs or 10
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
    out = np.empty((len(rows), 100), np.int64)
    for r, row in enumerate(rows):
        bought = set(i[start[u[row]] : start[u[row] + 1]])
        out[r, 0] = i[row]
        k = 1
        while k < 100:
            j = int(draw() * items)
            if j not in bought:
                out[r, k] = j
                k += 1
    return out


parts = {"valid": candidates(np.flatnonzero(valid)), "test": candidates(np.flatnonzero(test))}
held_u = u[np.flatnonzero(test)]
pu, pi = u[train], i[train]
first = np.searchsorted(pu, np.arange(users + 1))


def histories(user, place):
    """The last products of the training part before each place, newest first, filled up with the number of items."""
    at = place[:, None] - np.arange(1, args.history + 1)
    return np.where(at >= first[user][:, None], pi[np.clip(at, 0, len(pi) - 1)], items)


class Product(nn.Module):
    def __init__(self, e=64):
        super().__init__()
        self.u, self.i, self.b = nn.Embedding(users, e), nn.Embedding(items, e), nn.Embedding(items, 1)
        self.h = nn.Embedding(items + 1, e, padding_idx=items)
        for table in (self.u, self.i, self.h):
            nn.init.normal_(table.weight, std=0.05)
        nn.init.zeros_(self.b.weight)
        self.forget, self.blur = nn.Dropout(0.2), nn.Dropout(0.3)
        self.recency = nn.Parameter(-0.5 * torch.log(torch.arange(1.0, args.history + 1)))
        self.d = nn.Sequential(nn.Linear(2 * e, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1))

    def forward(self, user, history, item):
        weight = self.forget(self.recency.exp() * (history != items))
        bought = weight.unsqueeze(1) @ self.h(history) / (weight.sum(1) + 1e-6).view(-1, 1, 1)
        i = self.blur(self.i(item))
        taste, fit = self.u(user).unsqueeze(1) * i, bought * i
        deep = self.d(torch.cat([taste, fit], 2).flatten(0, 1)).view(item.shape)
        return deep + fit.sum(2) + self.b(item).squeeze(-1)


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

    def forward(self, user, history, item):
        i = self.i(item)
        return self.d(torch.cat([self.u(user).unsqueeze(1).expand_as(i), i], 2).flatten(0, 1)).view(item.shape)


model = Guide() if guide else Product()
tables = [] if guide else [model.u.weight, model.i.weight, model.h.weight]
rest = [p for p in model.parameters() if not any(p is t for t in tables)]
optimizer = (
    torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    if guide
    else torch.optim.AdamW(
        [{"params": tables, "weight_decay": 1.0}, {"params": rest, "weight_decay": 0.01}], lr=4e-3
    )
)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
criterion = nn.BCELoss() if guide else nn.BCEWithLogitsLoss()
rng = np.random.default_rng(args.seed)
rows = 4096 // 5
label = torch.zeros(rows, 5)
label[:, 0] = 1
steps, seconds = 0, 0.0
for epoch in range(epochs):
    candidate = np.concatenate([pi[:, None], rng.integers(0, items, (len(pi), 4))], 1)
    p = rng.permutation(len(pi))
    model.train()
    begin = time.perf_counter()
    for k in range(0, len(p), rows):
        j = p[k : k + rows]
        history = histories(pu[j], j)
        history[rng.random(len(j)) < 0.5, 0] = items
        batch = (torch.from_numpy(x) for x in (pu[j], history, candidate[j]))
        loss = criterion(model(*batch), label[: len(j)])
        optimizer.zero_grad()
        loss.backward()
        if guide:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    seconds += time.perf_counter() - begin
    scheduler.step()

model.eval()


def rank(part, after):
    """As in the example: what comes directly before a held-out sale is hidden."""
    history, scores = histories(held_u, first[held_u + 1] + after), []
    history[:, 0] = items
    with torch.no_grad():
        for k in range(0, len(part), 160):
            batch = (torch.from_numpy(x[k : k + 160]) for x in (held_u, history, part))
            scores.append(model(*batch))
    rows = torch.cat(scores).numpy()
    place = (rows[:, 1:] > rows[:, :1]).sum(1) + 0.5 * (rows[:, 1:] == rows[:, :1]).sum(1)
    return {
        "auc": float(1 - (place / 99).mean()),
        "hitRate10": float((place < 10).mean()),
        "ndcg10": float(np.where(place < 10, 1 / np.log2(place + 2), 0).mean()),
    }


result = {"model": rank(parts["test"], 1), "valid": rank(parts["valid"], 0)}
print(json.dumps({"test": result, "seconds": {"train": seconds, "perStep": seconds / steps, "perEpoch": seconds / epochs}}))
