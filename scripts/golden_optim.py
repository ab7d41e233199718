"""Writes tests/golden/optim/*.json: what PyTorch's dense optimisers make of a table of which each step reads a few
rows, and the sequences of its schedulers. The draws are those of tests/optim/table.ts.

    .venv/torch/bin/python scripts/golden_optim.py
"""

import json
import math
from pathlib import Path

import torch

OUT = Path(__file__).parent.parent / "tests" / "golden" / "optim"
ROWS, COLUMNS, BATCH, STEPS = 24, 3, 5, 500

TABLES = [
    ("AdamW", {"lr": 1e-2, "weight_decay": 0.1}),
    ("AdamW", {"lr": 1e-2, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.9]}),
    ("AdamW", {"lr": 1e-2, "weight_decay": 0.1, "betas": [0.0, 0.9], "maximize": True}),
    ("Adam", {"lr": 1e-2}),
    ("Adam", {"lr": 1e-2, "weight_decay": 0.1}),
    ("SGD", {"lr": 1e-2, "weight_decay": 0.1}),
    ("SGD", {"lr": 1e-2, "momentum": 0.9}),
    ("SGD", {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1, "dampening": 0.3}),
    ("SGD", {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    ("RMSprop", {"lr": 1e-2, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 1e-2, "momentum": 0.9, "maximize": True}),
    ("RMSprop", {"lr": 1e-2, "centered": True}),
    ("RMSprop", {"lr": 1e-2, "centered": True, "momentum": 0.5, "alpha": 0.9}),
    ("Adagrad", {"lr": 1e-1}),
    ("Adagrad", {"lr": 1e-1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("Adadelta", {"lr": 1.0, "weight_decay": 0.1}),
    ("Adamax", {"lr": 1e-2, "weight_decay": 0.1}),
    ("NAdam", {"lr": 1e-2, "weight_decay": 0.1}),
    ("NAdam", {"lr": 1e-2, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 1e-2, "weight_decay": 0.1}),
    ("RAdam", {"lr": 1e-2, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Rprop", {"lr": 1e-2}),
    ("ASGD", {"lr": 1e-2, "lambd": 0.1, "t0": 200, "weight_decay": 0.1}),
    ("SparseAdam", {"lr": 1e-2}),
    ("SparseAdam", {"lr": 1e-2, "maximize": True}),
    ("Adafactor", {"lr": 1e-2, "weight_decay": 0.1}),
]


class Draws:
    """A linear congruential generator of 32 bits."""

    def __init__(self, seed):
        self.state = seed

    def __call__(self):
        self.state = (self.state * 1664525 + 1013904223) & 0xFFFFFFFF
        return self.state / 2**32


def train(name, options):
    draw = Draws(5)

    def matrix():
        values = [draw() * 2 - 1 for _ in range(ROWS * COLUMNS)]
        return torch.tensor(values, dtype=torch.float64).reshape(ROWS, COLUMNS)

    sparse = name == "SparseAdam"
    table = matrix().requires_grad_()
    target = matrix()
    if "betas" in options:
        options = {**options, "betas": tuple(options["betas"])}
    optimizer = getattr(torch.optim, name)([table], **options)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = options["lr"] * (0.5 + 0.5 * math.cos(step / 40))
        for _ in range(2 if step % 7 == 3 else 1):
            rows = torch.tensor([int(draw() * draw() * ROWS) for _ in range(BATCH)])
            difference = torch.nn.functional.embedding(rows, table, sparse=sparse) - target[rows]
            if step % 11 != 5:
                (difference * difference).sum().backward()
        # Norms of sparse gradients need them coalesced.
        if sparse and table.grad is not None:
            table.grad = table.grad.coalesce()
        if step % 3 == 0:
            torch.nn.utils.clip_grad_norm_([table], 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return table.flatten().tolist()


LR = torch.optim.lr_scheduler
SCHEDULERS = {
    "StepLR": lambda o: LR.StepLR(o, 4, 0.5),
    "MultiStepLR": lambda o: LR.MultiStepLR(o, [3, 7, 7, 15], 0.3),
    "ExponentialLR": lambda o: LR.ExponentialLR(o, 0.9),
    "ConstantLR": lambda o: LR.ConstantLR(o, 0.25, 6),
    "LinearLR": lambda o: LR.LinearLR(o, 0.1, 0.8, 12),
    "PolynomialLR": lambda o: LR.PolynomialLR(o, 15, 2.0),
    "CosineAnnealingLR": lambda o: LR.CosineAnnealingLR(o, 8, 0.01),
    "CosineAnnealingWarmRestarts": lambda o: LR.CosineAnnealingWarmRestarts(o, 3, 2, 0.02),
    "OneCycleLR": lambda o: LR.OneCycleLR(o, 2.0, 20),
    "CyclicLR": lambda o: LR.CyclicLR(o, 0.1, 1.0, 4, mode="triangular2"),
    "LambdaLR": lambda o: LR.LambdaLR(o, lambda e: 0.95**e),
    "MultiplicativeLR": lambda o: LR.MultiplicativeLR(o, lambda e: 0.97 if e % 3 else 1),
    "SequentialLR": lambda o: LR.SequentialLR(
        o, [LR.LinearLR(o, 0.1, 1.0, 4), LR.CosineAnnealingLR(o, 10), LR.ExponentialLR(o, 0.9)], [4, 14]
    ),
    "ChainedScheduler": lambda o: LR.ChainedScheduler([LR.ConstantLR(o, 0.1, 4), LR.ExponentialLR(o, 0.9)], o),
    "ReduceLROnPlateau": lambda o: LR.ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=1),
}


def schedule(make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    for step in range(20):
        group = optimizer.param_groups[0]
        rates.append([group["lr"], group["momentum"]])
        optimizer.step()
        if isinstance(scheduler, LR.ReduceLROnPlateau):
            scheduler.step(1 / (1 + min(step, 6)))
        else:
            scheduler.step()
    return rates


LBFGS = [
    {"lr": 1e-3},
    {"lr": 0.1, "max_iter": 4, "history_size": 3},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 5, "history_size": 2},
]


def valley(options, maximize):
    """Five steps down Rosenbrock's valley."""
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([x, y], maximize=maximize, **options)
    path = []

    def closure():
        optimizer.zero_grad()
        loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2 + (y[0] - x[1]) ** 4
        if maximize:
            loss = -loss
        loss.backward()
        return loss

    for _ in range(5):
        loss = optimizer.step(closure).item()
        path.append([loss, *x.tolist(), *y.tolist()])
    return path


OUT.mkdir(parents=True, exist_ok=True)
tables = [{"optimizer": n, "options": o, "table": train(n, o)} for n, o in TABLES]
(OUT / "tables.json").write_text(json.dumps(tables) + "\n")
(OUT / "schedulers.json").write_text(json.dumps({n: schedule(m) for n, m in SCHEDULERS.items()}) + "\n")
valleys = [
    {"options": o, "maximize": up, "path": valley(o, up)} for o in LBFGS for up in (False, True)
]
(OUT / "lbfgs.json").write_text(json.dumps(valleys) + "\n")
