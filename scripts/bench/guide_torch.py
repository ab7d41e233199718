"""PyTorch's side of guide.ts: the guide's chapters, with what its printed code gets wrong put right.

Usage: guide_torch.py CHAPTER FILE; reads weights and inputs from the safetensors file, prints one JSON line of figures.
"""

import json
import sys
from collections import OrderedDict

import torch
import torch.nn as nn
from safetensors import safe_open

torch.set_num_threads(2)


class Inputs:
    """What Toro's checkpoint.save wrote: tensors by name, states under a prefix, numbers in the metadata."""

    def __init__(self, path):
        self.file = safe_open(path, "pt")
        self.names = list(self.file.keys())
        self.values = json.loads(self.file.metadata()["state"])

    def __getitem__(self, name):
        return self.file.get_tensor(name) if name in self.names else self.values[name]

    def state(self, prefix):
        names = [n for n in self.names if n.startswith(prefix + ".")]
        return {n.removeprefix(prefix + "."): self.file.get_tensor(n) for n in names}


def summary(name, t):
    return {
        **{f"{name} dim {i}": size for i, size in enumerate(t.shape)},
        f"{name} mean": t.mean().item(),
        f"{name} mean square": t.square().mean().item(),
        f"{name} first": t.flatten()[0].item(),
    }


# ---- chapter 1 -------------------------------------------------------------------------------------


def init_user_embeddings(num_users, embedding_dim):
    # In place: `randn(...) * 0.1` holds two tables of 5 GB at the guide's size.
    return torch.randn(num_users, embedding_dim).mul_(0.1), torch.zeros(num_users)


def process_financial_features(transaction_data):
    batch_size, _, _ = transaction_data.shape
    flattened = transaction_data.view(batch_size, -1)
    normalized = torch.nn.functional.normalize(flattened, p=2, dim=1)
    return torch.cat([normalized, transaction_data.mean(dim=1), transaction_data.std(dim=1)], dim=1)


def chapter1(inputs):
    embeddings, bias = init_user_embeddings(inputs["users"], 128)
    return {
        "embeddings rows": embeddings.shape[0],
        "embeddings mean": embeddings.mean().item(),
        "embeddings deviation": embeddings.std().item(),
        "bias norm": bias.norm().item(),
        **summary("features", process_financial_features(inputs["transactions"])),
    }


# ---- chapter 2 -------------------------------------------------------------------------------------


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.1):
        super().__init__()
        self.d_model, self.num_heads, self.d_k = d_model, num_heads, d_model // num_heads
        self.w_q = nn.Linear(d_model, d_model, bias=False)
        self.w_k = nn.Linear(d_model, d_model, bias=False)
        self.w_v = nn.Linear(d_model, d_model, bias=False)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)
        self.layer_norm = nn.LayerNorm(d_model)

    def forward(self, query, key, value, mask=None):
        b = query.size(0)
        heads = lambda x: x.view(b, -1, self.num_heads, self.d_k).transpose(1, 2)
        q, k, v = heads(self.w_q(query)), heads(self.w_k(key)), heads(self.w_v(value))
        scores = torch.matmul(q, k.transpose(-2, -1)) / (self.d_k**0.5)
        if mask is not None:
            scores.masked_fill_(mask == 0, -1e9)
        weights = self.dropout(torch.softmax(scores, dim=-1))
        out = torch.matmul(weights, v).transpose(1, 2).contiguous().view(b, -1, self.d_model)
        return self.layer_norm(self.w_o(out) + query)


class RecommendationSystem(nn.Module):
    def __init__(self, num_users, num_items, embedding_dim=128, hidden_dims=(512, 256, 128)):
        super().__init__()
        self.user_embedding = nn.Embedding(num_users, embedding_dim)
        self.item_embedding = nn.Embedding(num_items, embedding_dim)
        layers, width = [], embedding_dim * 2
        for hidden in hidden_dims:
            layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.2)]
            width = hidden
        self.deep_layers = nn.Sequential(*layers, nn.Linear(width, 1), nn.Sigmoid())
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.1)

    def forward(self, user_ids, item_ids):
        features = torch.cat([self.user_embedding(user_ids), self.item_embedding(item_ids)], dim=1)
        return self.deep_layers(features).squeeze(-1)


def recommender(state, dropout=0.2):
    """The model as it initialises itself, and what its values then were; afterwards it has the given ones."""
    users, dim = state["user_embedding.weight"].shape
    model = RecommendationSystem(users, len(state["item_embedding.weight"]), dim)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    fresh = {
        "user_embedding deviation": model.user_embedding.weight.std().item(),
        "first layer deviation": model.deep_layers[0].weight.std().item(),
    }
    model.load_state_dict(state)
    return model, fresh


def chapter2(inputs):
    attention = MultiHeadAttention(512, 8).eval()
    attention.load_state_dict(inputs.state("attention"))
    words = inputs["words"]
    attended = attention(words, words, words, inputs["causal"])
    (attended.square() * words).sum().backward()
    model, fresh = recommender(inputs.state("model"))
    with torch.no_grad():
        predictions = model.eval()(inputs["user"], inputs["item"])
    return {
        **summary("attention", attended.detach()),
        **{f"attention {k} gradient norm": p.grad.norm().item() for k, p in attention.named_parameters()},
        **fresh,
        **summary("predictions", predictions),
    }


# ---- chapter 3 -------------------------------------------------------------------------------------


class GradientAccumulation:
    def __init__(self, model, optimizer, accumulation_steps=4):
        self.model, self.optimizer, self.accumulation_steps = model, optimizer, accumulation_steps

    def train_step(self, batches, criterion):
        """A group's loss is the mean over its examples, in the last group too; the guide drops that one."""
        self.model.train()
        total, self.right = 0.0, 0
        for at in range(0, len(batches), self.accumulation_steps):
            group = batches[at : at + self.accumulation_steps]
            examples = sum(len(target) for *_, target in group)
            for *inputs, target in group:
                output = self.model(*inputs)
                loss = criterion(output, target)
                self.right += ((output > 0.5) == (target > 0.5)).sum().item()
                (loss * (len(target) / examples)).backward()
                total += loss.item() * len(target)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return total / sum(len(target) for *_, target in batches)


def gradient_analysis(model, batches, criterion, num_batches=10):
    """Norms of the batches asked for, by layer; the model's running statistics are put back afterwards."""
    model.train()
    buffers = [b.clone() for b in model.buffers()]
    norms = {}
    for *inputs, target in batches[:num_batches]:
        model.zero_grad()
        criterion(model(*inputs), target).backward()
        squares = {"all": 0.0}
        for name, p in model.named_parameters():
            layer, square = name.rpartition(".")[0], p.grad.norm(2).item() ** 2
            squares[layer] = squares.get(layer, 0.0) + square
            squares["all"] += square
        for layer, square in squares.items():
            norms.setdefault(layer, []).append(square**0.5)
    model.zero_grad()
    with torch.no_grad():
        for buffer, before in zip(model.buffers(), buffers):
            buffer.copy_(before)
    return norms


def chapter3(inputs):
    model, _ = recommender(inputs.state("model"), dropout=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, betas=(0.9, 0.999))
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100, eta_min=1e-6)
    criterion = nn.BCELoss()
    size = inputs["batch"]
    batches = list(zip(*(inputs[name].split(size) for name in ("user", "item", "label"))))
    norms = gradient_analysis(model, batches, criterion)
    figures = {"batches analysed": len(norms["all"])}
    for layer, values in norms.items():
        figures[f"gradient norm, {layer}"] = sum(values) / len(values)
    accumulation = GradientAccumulation(model, optimizer)
    for epoch in range(3):
        figures[f"loss of epoch {epoch}"] = accumulation.train_step(batches, criterion)
        scheduler.step()
        figures[f"rate after epoch {epoch}"] = scheduler.get_last_lr()[0]
    for name, p in model.named_parameters():
        if name not in ("deep_layers.0.bias", "deep_layers.4.bias", "deep_layers.8.bias"):
            # In float32 PyTorch sums 128 million squares to 1.6 % too little.
            figures[f"{name} norm"] = p.detach().norm(dtype=torch.float64).item()
    return figures


# ---- chapter 4 -------------------------------------------------------------------------------------


class EnterpriseDataset(torch.utils.data.Dataset):
    """Only its length and its cache: the items come from the file."""

    def __init__(self, items=1_000_000, cache_size=1000):
        self.items, self.cache_size, self.cache = items, cache_size, OrderedDict()
        self.hits = self.misses = 0

    def __len__(self):
        return self.items

    def __getitem__(self, idx):
        if idx in self.cache:
            self.hits += 1
            self.cache.move_to_end(idx)
            return self.cache[idx]
        self.misses += 1
        self.cache[idx] = idx
        if len(self.cache) > self.cache_size:
            self.cache.popitem(last=False)
        return idx


class AddGaussianNoise(nn.Module):
    def __init__(self, std=0.01):
        super().__init__()
        self.std = std

    def forward(self, x):
        return x + torch.randn_like(x) * self.std if self.training else x


class RandomMask(nn.Module):
    def __init__(self, mask_ratio=0.1):
        super().__init__()
        self.mask_ratio = mask_ratio

    def forward(self, x):
        return x * (torch.rand_like(x) > self.mask_ratio).float() if self.training else x


def chapter4(inputs):
    x, dataset = inputs["x"], EnterpriseDataset()
    loader = torch.utils.data.DataLoader(dataset, batch_size=1024, shuffle=True)
    for idx in inputs["asked"].tolist():
        dataset[idx]
    quiet = nn.Sequential(nn.Sequential(AddGaussianNoise(0.0), RandomMask(0.0)), nn.BatchNorm1d(100))
    return {
        "items": len(dataset),
        "batches": len(loader),
        "cache hits": dataset.hits,
        "cache misses": dataset.misses,
        "next to go": next(iter(dataset.cache)),
        **summary("normalised", quiet(x).detach()),
        **summary("in evaluation", quiet.eval()(x).detach()),
        "noise deviation": (AddGaussianNoise(0.01)(x) - x).std().item(),
        "masked share": (RandomMask(0.1)(x) == 0).float().mean().item(),
    }


# ---- chapters 5 to 7 -------------------------------------------------------------------------------


def batches_of(inputs, size, prefix=""):
    return list(zip(*(inputs[prefix + name].split(size) for name in ("user", "item", "label"))))


def int8(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


@torch.no_grad()
def validate_model(model, batches, criterion):
    model.eval()
    loss, right, total = 0.0, 0, 0
    for user, item, target in batches:
        output = model(user, item)
        loss += criterion(output, target).item() * len(target)
        right += ((output > 0.5) == (target > 0.5)).sum().item()
        total += len(target)
    return loss / total, right / total


def chapter5(inputs):
    model = recommender(inputs.state("model"))[0].eval()
    user, item, label = inputs["user"], inputs["item"], inputs["label"]
    figures, outputs = {}, {}
    for name, m in (("float32", model), ("int8", int8(model))):
        with torch.no_grad():
            output = outputs[name] = torch.cat([m(u, i) for u, i in zip(user.split(1000), item.split(1000))])
        figures[f"{name} loss"] = nn.functional.binary_cross_entropy(output, label).item()
        figures[f"{name} accuracy"] = ((output > 0.5) == (label > 0.5)).float().mean().item()
        figures[f"{name} outputs"] = len(output)
    figures["int8 deviation from float32"] = (outputs["int8"] - outputs["float32"]).square().mean().sqrt().item()
    return figures


class TrainingMonitor:
    """Early stopping by the best value so far; the guide compares with a window and drops the result."""

    def __init__(self, patience, min_delta):
        self.patience, self.min_delta, self.epochs = patience, min_delta, 0
        self.best, self.best_epoch = float("inf"), None

    def log_epoch(self, val_loss):
        if self.best - val_loss > self.min_delta:
            self.best, self.best_epoch = val_loss, self.epochs
        self.epochs += 1
        return self.epochs - 1 - self.best_epoch >= self.patience


def chapter6(inputs):
    model, _ = recommender(inputs.state("model"), dropout=0.0)
    optimizer, criterion = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01), nn.BCELoss()
    train, valid = batches_of(inputs, inputs["batch"]), batches_of(inputs, inputs["batch"], "valid_")
    monitor = TrainingMonitor(inputs["patience"], inputs["min_delta"])
    accumulation, figures = GradientAccumulation(model, optimizer, 1), {}
    for epoch in range(30):
        figures[f"train loss of epoch {epoch}"] = accumulation.train_step(train, criterion)
        loss, accuracy = validate_model(model, valid, criterion)
        figures[f"valid loss of epoch {epoch}"], figures[f"valid accuracy of epoch {epoch}"] = loss, accuracy
        if monitor.log_epoch(loss):
            break
    return {**figures, "best epoch": monitor.best_epoch, "epochs": monitor.epochs}


def chapter7(inputs):
    model, _ = recommender(inputs.state("model"), dropout=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    criterion, size = nn.BCELoss(), inputs["batch"]
    train, valid = batches_of(inputs, size), batches_of(inputs, 2 * size, "valid_")
    accumulation, figures = GradientAccumulation(model, optimizer, 4), {}
    for epoch in range(2):
        figures[f"train loss of epoch {epoch}"] = accumulation.train_step(train, criterion)
        figures[f"train accuracy of epoch {epoch}"] = accumulation.right / len(inputs["user"])
        loss, accuracy = validate_model(model, valid, criterion)
        figures[f"valid loss of epoch {epoch}"], figures[f"valid accuracy of epoch {epoch}"] = loss, accuracy
        scheduler.step()
        figures[f"rate after epoch {epoch}"] = scheduler.get_last_lr()[0]
    figures["accuracy on what was learnt from"] = validate_model(model, train, criterion)[1]
    figures["int8 valid loss"], figures["int8 valid accuracy"] = validate_model(int8(model), valid, criterion)
    return figures


CHAPTERS = {
    "1": chapter1,
    "2": chapter2,
    "3": chapter3,
    "4": chapter4,
    "5": chapter5,
    "6": chapter6,
    "7": chapter7,
}

if __name__ == "__main__":
    chapter, path = sys.argv[1:]
    torch.manual_seed(int(chapter))
    print(json.dumps({"chapter": int(chapter), "figures": CHAPTERS[chapter](Inputs(path))}))
