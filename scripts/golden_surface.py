"""Writes tests/golden/surface.json: PyTorch's results for parts of nn and optim that no case table reaches.

    .venv/torch/bin/python scripts/golden_surface.py
"""

import json
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import fusion, parametrizations, prune
from torch.optim import SGD, swa_utils

torch.set_num_threads(1)
torch.manual_seed(0)


def plain(v):
    if isinstance(v, torch.Tensor):
        return {"shape": list(v.shape), "values": [float(f"{x:.9g}") for x in v.detach().double().flatten().tolist()]}
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    return [plain(x) for x in v] if isinstance(v, (list, tuple)) else v


def adaptive():
    m = nn.AdaptiveLogSoftmaxWithLoss(8, 30, [5, 12], div_value=2.0, head_bias=True)
    x = torch.randn(7, 8, requires_grad=True)
    target = torch.tensor([0, 4, 5, 11, 12, 29, 2])
    output, loss = m(x, target)
    loss.backward()
    grads = {k: p.grad for k, p in m.named_parameters()}
    return {
        "state": m.state_dict(), "x": x, "target": target, "output": output, "loss": loss, "gx": x.grad, "grads": grads,
        "logProb": m.log_prob(x), "predict": m.predict(x * 3),
    }


def orthogonal():
    out = []
    for shape in ((4, 4), (5, 3), (3, 5)):
        for how in ("matrix_exp", "cayley", "householder"):
            for trivial in (True, False):
                layer = nn.Linear(shape[1], shape[0], bias=False)
                if not trivial and how != "householder":
                    continue
                parametrizations.orthogonal(layer, "weight", how, use_trivialization=trivial)
                with torch.no_grad():
                    layer.parametrizations.weight.original.add_(0.1 * torch.randn(shape))
                    d = layer.parametrizations.weight.original.diagonal()
                    d.copy_(d.sign())
                x = torch.randn(shape)
                (layer.weight * x).sum().backward()
                out.append({
                    "shape": shape, "map": how, "trivial": trivial, "state": layer.state_dict(), "x": x,
                    "weight": layer.weight, "grad": layer.parametrizations.weight.original.grad,
                })
    return out


def fused():
    out = []
    for conv, transpose in (
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, padding_mode="reflect"), False),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, bias=False), True),
    ):
        bn = nn.BatchNorm2d(6)
        bn(torch.randn(5, 6, 2, 2) * 2 + 1)
        with torch.no_grad():
            bn.weight.normal_()
            bn.bias.normal_()
        one = fusion.fuse_conv_bn_eval(conv.eval(), bn.eval(), transpose)
        x = torch.randn(2, 4, 5, 5)
        out.append({"conv": conv.state_dict(), "bn": bn.state_dict(), "x": x, "weight": one.weight, "bias": one.bias, "y": one(x)})
    return out


def averaged():
    out = {}
    for name, given in (
        ("mean", {}),
        ("emaMulti", {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9)}),
        ("ema", {"avg_fn": swa_utils.get_ema_avg_fn(0.9), "use_buffers": True}),
    ):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        begin = {k: v.clone() for k, v in model.state_dict().items()}
        average = swa_utils.AveragedModel(model, **given)
        optimizer = SGD(model.parameters(), lr=0.5)
        batches = [torch.randn(6, 3) for _ in range(4)]
        for x in batches:
            optimizer.zero_grad()
            model(x).pow(3).sum().mul(0.01).backward()
            optimizer.step()
            average.update_parameters(model)
        state = {k: v.clone() for k, v in average.state_dict().items()}
        swa_utils.update_bn(batches, average)
        average.eval()
        out[name] = {"begin": begin, "batches": batches, "state": state, "after": average.state_dict(), "y": average(batches[0])}
    return out


def rates():
    out = []
    for strategy, epochs in (("cos", 4), ("linear", 3), ("cos", 0)):
        optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.8)
        step = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        for _ in range(2):
            optimizer.step()
            step.step()
        swa = swa_utils.SWALR(optimizer, 0.05, anneal_epochs=epochs, anneal_strategy=strategy)
        lrs = []
        for _ in range(6):
            optimizer.step()
            swa.step()
            lrs.append(optimizer.param_groups[0]["lr"])
        out.append({"strategy": strategy, "epochs": epochs, "lrs": lrs})
    return out


def masks():
    torch.manual_seed(2)
    weight = torch.randn(5, 4)
    layer = nn.Linear(4, 5)
    with torch.no_grad():
        layer.weight.copy_(weight)
    found = []
    for change in (
        lambda: prune.l1_unstructured(layer, "weight", 0.3),
        lambda: prune.l1_unstructured(layer, "weight", 3),
        lambda: prune.ln_structured(layer, "weight", 1, n=2, dim=0),
        lambda: prune.ln_structured(layer, "weight", 0.5, n=1, dim=1),
    ):
        change()
        found.append(layer.weight_mask.clone())
    keys = list(layer.state_dict())
    prune.remove(layer, "weight")
    two = [nn.Linear(4, 5), nn.Linear(3, 4)]
    begin = [m.weight.detach().clone() for m in two]
    prune.global_unstructured([(m, "weight") for m in two], prune.L1Unstructured, amount=0.4)
    return {
        "weight": weight, "masks": found, "keys": keys, "end": layer.weight,
        "global": [{"weight": w, "mask": m.weight_mask} for w, m in zip(begin, two)],
    }


out = {"adaptive": adaptive(), "orthogonal": orthogonal(), "fused": fused(), "averaged": averaged(), "rates": rates(), "masks": masks()}
path = Path(__file__).parents[1] / "tests/golden/surface.json"
path.write_text(json.dumps(plain(out), separators=(",", ":")) + "\n")
print(f"{path.stat().st_size // 1024} KiB in {path}")
