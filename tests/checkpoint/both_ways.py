"""PyTorch's part of tests/checkpoint/torch_test.ts, in a folder with what Toro wrote: reads it, checks it, writes it again,
and goes on with runs begun there. Prints the losses as JSON.

    python both_ways.py GOLDEN_FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

GOLDEN = Path(sys.argv[1])


def bits(t):
    return t.contiguous().flatten().view(torch.uint8).numpy(force=True).tobytes()


def same(a, b, path):
    """Whether two states are the same, tensors by their bits; types that Toro has only the names of, by those."""
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.shape == b.shape and a.stride() == b.stride(), path
        assert bits(a) == bits(b), path
        assert a.requires_grad == b.requires_grad and type(a) is type(b), path
    elif isinstance(a, dict):
        assert list(a) == list(b), (path, list(a), list(b))
        for key in a:
            same(a[key], b[key], (*path, key))
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b) and isinstance(a, tuple) == isinstance(b, tuple), path
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, (*path, i))
    elif isinstance(a, (torch.device, torch.dtype)):
        assert str(a).removeprefix("torch.") == b, path
    else:
        assert a == b or a != a and b != b, (path, a, b)


# Toro → PyTorch → Toro
there = torch.load("there.pth", weights_only=True)
assert there["view"].untyped_storage().data_ptr() == there["base"].untyped_storage().data_ptr()
assert there["view"].stride() == (1, 4)
assert all(value.dtype == getattr(torch, name) for name, value in there["dtypes"].items())
assert type(there["parameter"]) is nn.Parameter
assert there["map"] == {1: "one", "1": "text", None: {}} and there["bytes"] == bytes(range(256))
assert there["tuple"] == (1, (), (1, 2, 3, 4)) and there["bigints"][3] == -(2**127) - 1
same(there, torch.load("there.pth", weights_only=True, mmap=True), ())
torch.save(there, "back.pth")

# PyTorch → Toro → PyTorch. The golden files are our own, and b"" is beyond what weights_only reads.
for path in Path(".").glob("golden_*.pth"):
    before = torch.load(GOLDEN / path.name.removeprefix("golden_"), weights_only=False)
    same(before, torch.load(path, weights_only=path.name != "golden_values.pth"), (path.name,))

# safetensors, both ways
ten = load_file("ten.safetensors")
same(there["dtypes"], {name: ten[name] for name in there["dtypes"]}, ("ten",))
save_file({**ten, "none": torch.zeros(0, 3), "scalar": torch.tensor(3)}, "ten_back.safetensors", {"note": "from Python"})

# NumPy, both ways
arrays = dict(np.load("arrays.npz"))
assert arrays["view"].tolist() == arrays["base"].T.tolist() and arrays["scalar"].shape == ()
for name, array in arrays.items():
    kept = there["dtypes"].get(name)
    assert kept is None or kept.numpy().tobytes() == array.tobytes() and array.dtype == name, name
assert np.load("one.npy").tobytes() == arrays["base"].tobytes()
np.savez_compressed("arrays_back.npz", **arrays)

# Runs begun in Toro.
classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
losses = {}
for name, optimizer_class in classes.items():
    file = torch.load(f"{name}.pth", weights_only=True)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.BatchNorm1d(8), nn.Linear(8, 1))
    model.load_state_dict(file["model"])
    optimizer = optimizer_class(model.parameters(), lr=9.0)
    own = set(optimizer.state_dict()["param_groups"][0])
    optimizer.load_state_dict(file["optimizer"])
    assert set(optimizer.state_dict()["param_groups"][0]) == own, name
    losses[name] = []
    for _ in range(5):
        loss = nn.functional.mse_loss(model(file["x"]), file["y"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses[name].append(loss.item())
print(json.dumps(losses))
