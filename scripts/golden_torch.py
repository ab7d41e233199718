"""Writes tests/golden/torch/: files of `torch.save` and NumPy, which tests read without Python.

    .venv/torch/bin/python scripts/golden_torch.py
"""

from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import torch

OUT = Path(__file__).parent.parent / "tests" / "golden" / "torch"
DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def values():
    """One of everything that a file may hold; what each is stands in tests/checkpoint/torch_test.ts."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    once = torch.tensor([7.5])
    shared = OrderedDict(x=once, again=once)
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    frozen = torch.nn.Parameter(torch.tensor([3, 4]), requires_grad=False)
    return {
        "dtypes": {name: torch.tensor([[0, 1, 1], [1, 0, 1]]).to(getattr(torch, name)) for name in DTYPES},
        "extremes": torch.tensor([-(2**63), 2**63 - 1, 2**53 + 1]),
        "scalar": torch.tensor(2.5),
        "none": torch.zeros(0, 3),
        "base": base,
        "transposed": base.t(),
        "window": base[1:3, ::2],
        "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 1000),
        "shared": shared,
        "parameter": parameter,
        "frozen": frozen,
        "buffer": torch.nn.Buffer(torch.tensor([5.0])),
        "wanted": torch.tensor([1.0], requires_grad=True),
        "numbers": [1, -1, 255, 256, -(2**31), 2**31, 2**53 - 1, -(2**53) + 1, 2**53, -(2**200), 0.5, -0.0],
        "odd": [float("inf"), float("-inf"), float("nan"), True, False, None, "", "\u00e9\u4e16\U0001f600\ufeff"],
        "tuple": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "keys": {1: "one", "1": "text", None: "none", 2.5: "half", (1, 2): "tuple"},
        "names": {"__proto__": 1, "constructor": 2, "": 3, "toString": {"__proto__": torch.tensor([4.0])}},
        "bytes": bytes(range(256)),
        "no_bytes": b"",
        "bytearray": bytearray(b"abc"),
        "set": {3},
        "counter": Counter("aab"),
        "size": torch.Size([2, 3]),
        "device": torch.device("cuda", 1),
        "dtype": torch.bfloat16,
    }


def run(name, make):
    """Five steps, the state after them, and the losses of five more."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
    x, y = torch.randn(16, 4), torch.randn(16, 1)
    optimizer = make(model.parameters())

    def step():
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(5):
        step()
    file = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "x": x, "y": y}
    path = OUT / f"run_{name}.pth"
    # Written before the run goes on, for the state is the run's own memory.
    torch.save(file, path)
    file = torch.load(path)
    file["losses"] = [step() for _ in range(5)]
    torch.save(file, path)


def arrays():
    """Arrays as NumPy writes them: versions, byte orders, orders of elements."""
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(OUT / "grid.npy", grid)
    np.save(OUT / "fortran.npy", np.asfortranarray(grid))
    np.save(OUT / "big_endian.npy", grid.astype(">f8"))
    np.save(OUT / "scalar.npy", np.int64(7))
    for version in ((2, 0), (3, 0)):
        with open(OUT / f"version{version[0]}.npy", "wb") as file:
            np.lib.format.write_array(file, grid.astype(np.int16), version)
    ten = {name: np.array([[0, 1], [1, 0]], dtype=name) for name in DTYPES if name != "bfloat16"}
    np.savez(OUT / "arrays.npz", grid=grid, none=np.zeros((0, 3)), **{"__proto__": np.ones(1)}, **ten)
    np.savez_compressed(OUT / "compressed.npz", grid=grid, long=np.arange(3000, dtype=np.int32) % 7)
    np.save(OUT / "structured.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
    np.save(OUT / "object.npy", np.array([None, "x"], dtype=object), allow_pickle=True)
    np.save(OUT / "complex.npy", np.zeros(2, dtype=np.complex64))
    np.save(OUT / "text.npy", np.array(["a", "bc"]))


OUT.mkdir(parents=True, exist_ok=True)
torch.save(values(), OUT / "values.pth")
for protocol in (3, 4, 5):
    small = {"x": torch.tensor([1.0, 2.0]), "bytes": b"abc", "array": bytearray(b"de"), "set": {1}, "big": 2**70}
    torch.save(small, OUT / f"protocol{protocol}.pth", pickle_protocol=protocol)
torch.save(torch.tensor([1.0]), OUT / "bare.pth")
run("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True))
run("adam", lambda p: torch.optim.Adam(p, lr=0.05, amsgrad=True))
run("adamw", lambda p: torch.optim.AdamW(p, lr=0.05, betas=(0.8, 0.99)))
# What is refused, and by which name.
torch.save({"x": torch.zeros(2)}, OUT / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"x": torch.zeros(2, dtype=torch.complex64)}, OUT / "complex.pth")
torch.save({"x": torch.eye(2).to_sparse()}, OUT / "sparse.pth")
torch.save({"x": torch.zeros(2, dtype=torch.uint16)}, OUT / "uint16.pth")
torch.save({"x": np.float64(1)}, OUT / "numpy.pth")
torch.save({"model": torch.nn.Linear(1, 1)}, OUT / "module.pth")
torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), OUT / "script.pth")
arrays()
