"""Writes tests/golden/guide/attention.json: what PyTorch makes of the guide's MultiHeadAttention, forward and backward,
with and without a mask. Weights and inputs come from the draws of tests/optim/table.ts.

    .venv/torch/bin/python scripts/golden_guide.py
"""

import json
from pathlib import Path

import torch
import torch.nn as nn

OUT = Path(__file__).parent.parent / "tests" / "golden" / "guide"


class Draws:
    """A linear congruential generator of 32 bits."""

    def __init__(self, seed):
        self.state = seed

    def __call__(self):
        self.state = (self.state * 1664525 + 1013904223) & 0xFFFFFFFF
        return self.state / 2**32

    def tensor(self, *shape, scale=1.0):
        n = 1
        for s in shape:
            n *= s
        values = [(self() * 2 - 1) * scale for _ in range(n)]
        return torch.tensor(values, dtype=torch.float64).reshape(shape)


class MultiHeadAttention(nn.Module):
    """As the guide has it, with the commas and operators that its copy lost."""

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


def case(d_model, heads, batch, time, source, masked, every):
    """`source` words are attended to; of the output each `every`th value is written."""
    draw = Draws(7)
    layer = MultiHeadAttention(d_model, heads).double().eval()
    layer.load_state_dict({k: draw.tensor(*p.shape, scale=0.1) for k, p in layer.state_dict().items()})
    query = draw.tensor(batch, time, d_model).requires_grad_()
    key, value = draw.tensor(batch, source, d_model), draw.tensor(batch, source, d_model)
    mask = (draw.tensor(batch, 1, time, source) > -0.3).long() if masked else None
    output = layer(query, key, value, mask)
    (output * draw.tensor(*output.shape)).sum().backward()
    short = lambda values: [float(f"{x:.10g}") for x in values]
    return {
        "config": {"dModel": d_model, "heads": heads, "batch": batch, "time": time, "source": source, "masked": masked},
        "every": every,
        "output": short(output.flatten()[::every].tolist()),
        "gradNorms": {k: short([p.grad.norm().item()])[0] for k, p in layer.named_parameters()},
        "queryGrad": short(query.grad.flatten()[::every].tolist()),
    }


OUT.mkdir(parents=True, exist_ok=True)
cases = [
    case(16, 4, 2, 3, 5, True, 1),
    case(512, 8, 2, 5, 7, True, 37),
    case(512, 8, 2, 5, 5, False, 37),
]
(OUT / "attention.json").write_text(json.dumps(cases) + "\n")
