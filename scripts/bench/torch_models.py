"""PyTorch's side of `deno task bench`: models, their training steps and predictions; twins of model_families.ts."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_numbers import fill, numbers, places


class Guide(nn.Module):
    def __init__(self, users, items, dim, sparse=False):
        super().__init__()
        self.u, self.i = nn.Embedding(users, dim, sparse=sparse), nn.Embedding(items, dim, sparse=sparse)
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


def guide_recommender(users, items, dim, batch, kind=None):
    torch.manual_seed(0)
    model = Guide(users, items, dim, sparse=kind == "sparse")
    tables = [model.u.weight, model.i.weight] if kind == "sparse" else []
    dense = [p for p in model.parameters() if all(p is not table for table in tables)]
    optimizers = [torch.optim.AdamW(dense, lr=1e-3, weight_decay=0.01, **({"fused": True} if kind == "fused" else {}))]
    if tables:
        optimizers.append(torch.optim.SparseAdam(tables, lr=1e-3))
    loss_of = nn.BCELoss()
    label = torch.randint(0, 2, (batch,)).float()

    def step():
        user, item = torch.randint(0, users, (batch,)), torch.randint(0, items, (batch,))
        loss = loss_of(model(user, item), label)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(dense, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        return loss

    return step


def inference(users, items, batch, quantize=False):
    model = Guide(users, items, 128).eval()
    fill(model.parameters(), 0.2)
    if quantize:
        model = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8, inplace=True)
    user, item = places(users, batch), places(items, batch)

    def predict():
        with torch.no_grad():
            return model(user, item)

    return predict


def score(users, items):
    """One user against every product."""
    model = Guide(users, items, 128).eval()
    fill(model.parameters(), 0.2)
    user, item = torch.zeros(items, dtype=torch.int64), torch.arange(items)

    def predict():
        with torch.no_grad():
            return model(user, item)

    return predict


def network(widths, batch, kind=None):
    layers = []
    for i, width in enumerate(widths[1:]):
        layers.append(nn.Linear(widths[i], width))
        if i + 2 < len(widths):
            layers.append(nn.ReLU())
    model = nn.Sequential(*layers)
    fill(model.parameters(), 0.1)
    x, target = numbers(batch, widths[0]), places(widths[-1], batch)
    if kind is None:

        def predict():
            with torch.no_grad():
                return model(x)

        return predict
    optimizer = (
        torch.optim.SGD(model.parameters(), lr=0.01) if kind == "sgd" else torch.optim.AdamW(model.parameters(), lr=1e-3)
    )

    def step():
        loss = F.cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def recurrent(model, *shape):
    fill(model.parameters(), 0.1)
    x = numbers(*shape).requires_grad_()

    def step():
        x.grad = None
        for p in model.parameters():
            p.grad = None
        model(x)[0].sum().backward()
        return x.grad

    return step


class Attention(nn.Module):
    """Attention with its projections: written out, or fused and causal where asked."""

    def __init__(self, width, heads, form):
        super().__init__()
        self.heads, self.form = heads, form
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, t, c = x.shape
        d = c // self.heads
        q, k, v = (y.view(b, t, self.heads, d).transpose(1, 2) for y in self.qkv(x).split(c, 2))
        if self.form == "plain":
            y = torch.softmax(q @ k.transpose(-2, -1) * d**-0.5, -1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.form == "causal")
        return self.out(y.transpose(1, 2).reshape(b, t, c))


def attention_layer(b, t, c, h, form, backward):
    model = Attention(c, h, form)
    fill(model.parameters(), 0.1)
    x = numbers(b, t, c)

    def predict():
        with torch.no_grad():
            return model(x)

    def step():
        x.grad = None
        model.zero_grad()
        model(x).square().sum().backward()
        return x.grad

    if not backward:
        return predict
    x.requires_grad_()
    return step


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.first, self.second = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.attention = Attention(width, heads, "causal")
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        x = x + self.dropout(self.attention(self.first(x)))
        return x + self.dropout(self.down(F.gelu(self.up(self.second(x)))))


class Gpt(nn.Module):
    def __init__(self, vocabulary, tokens, width, layers, heads):
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(tokens, width)
        self.dropout = nn.Dropout(0.2)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, index):
        x = self.dropout(self.token(index) + self.position.weight)
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.token.weight)


def gpt(layers, heads, width, b, t, bfloat16=False):
    vocabulary = 65
    model = Gpt(vocabulary, t, width, layers, heads)
    nn.init.normal_(model.token.weight, std=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    index, target = places(vocabulary, b, t), places(vocabulary, b * t)

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            loss = F.cross_entropy(model(index).view(-1, vocabulary), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return step


def loader(rows, width, batch):
    data = torch.utils.data.TensorDataset(numbers(rows, width), places(10, rows))
    batches = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True)

    def run():
        last = None
        for x, _ in batches:
            last = x
        return last

    return run


MODELS = {
    "recommender, product model {} x {} x {}, a step": product_recommender,
    "recommender {} x {} x {}, a step of {}": guide_recommender,
    "recommender {} x {} x {}, a step of {}, fused AdamW": lambda *dims: guide_recommender(*dims, "fused"),
    "recommender {} x {} x {}, a step of {}, sparse gradients": lambda *dims: guide_recommender(*dims, "sparse"),
    "recommender {} x {}, prediction of {}": inference,
    "recommender {} x {}, prediction of {}, int8": lambda *dims: inference(*dims, True),
    "recommender {} x {}, all products for one user": score,
    "network 64-64-10 on {}, a step of SGD": lambda batch: network([64, 64, 10], batch, "sgd"),
    "network 64-64-10 on {}, a step of AdamW": lambda batch: network([64, 64, 10], batch, "adamw"),
    "network 64-64-10 on {}": lambda batch: network([64, 64, 10], batch),
    "network 784-512-256-10 on {}, a step of AdamW": lambda batch: network([784, 512, 256, 10], batch, "adamw"),
    "LSTM {} x {}, {} to {}, {} layers": lambda t, b, i, h, layers: recurrent(nn.LSTM(i, h, layers), t, b, i),
    "GRU {} x {}, {} to {}, both directions": lambda t, b, i, h: recurrent(nn.GRU(i, h, bidirectional=True), t, b, i),
    "RNN {} x {}, {} to {}": lambda t, b, i, h: recurrent(nn.RNN(i, h), t, b, i),
    "attention layer {} x {} x {}, {} heads, written out, both ways": lambda *dims: attention_layer(
        *dims, "plain", True
    ),
    "attention layer {} x {} x {}, {} heads, fused": lambda *dims: attention_layer(*dims, "fused", False),
    "attention layer {} x {} x {}, {} heads, fused, both ways": lambda *dims: attention_layer(*dims, "fused", True),
    "GPT of {} layers, {} heads, {} wide, {} x {}": gpt,
    "GPT of {} layers, {} heads, {} wide, {} x {}, bfloat16": lambda *dims: gpt(*dims, bfloat16=True),
    "loader over {} rows of {} by {}": loader,
}
