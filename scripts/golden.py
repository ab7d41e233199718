"""PyTorch's results for the calls that scripts/golden.ts writes: one JSON object a line in, one a line out.

A call is {"key", "op", "args"}: tensors are {"tensor": dtype, "shape", "values"}, the last argument may be
{"options": {...}}. Names follow the rule of the public API backwards: `indexPut_` is `index_put_`. With "autocast", a
kind of devices, the answer is types under autocast; those of CUDA need no GPU, for nothing is computed there.
"""

import json
import re
import sys
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

torch.set_num_threads(1)
LOW = {"cpu": torch.bfloat16, "cuda": torch.float16}
# Kernels that call ops which autocast sees only where they are computed.
NEEDS_GPU = ("affine_grid", "affineGrid", "pinv", "pca_lowrank", "pcaLowrank", "svd_lowrank", "svdLowrank")


def snake(name):
    return re.sub(r"(?<!^)([A-Z])", lambda m: "_" + m.group(1).lower(), name)


def number(x):
    return float(x) if isinstance(x, str) else x


def decode(v):
    if isinstance(v, list):
        return [decode(x) for x in v]
    if not isinstance(v, dict):
        return number(v) if v in ("NaN", "Infinity", "-Infinity") else v
    if "tensor" in v:
        dtype = getattr(torch, v["tensor"])
        return torch.tensor([number(x) for x in v["values"]], dtype=torch.float64).to(dtype).reshape(v["shape"])
    if "slice" in v:
        s = v["slice"]
        return slice(s.get("start"), s.get("end", s.get("stop")), s.get("step"))
    if "float" in v:
        return float(number(v["float"]["value"]))
    if "options" in v:
        return {snake(k): decode(x) for k, x in v["options"].items()}
    raise ValueError(f"no argument of PyTorch: {v}")


def find(op):
    """The function behind a name: a dotted one as it stands, else functional first, whose signatures Toro follows."""
    if "." in op:
        at = torch
        for part in op.removeprefix("torch.").split("."):
            at = getattr(at, snake(part), None) or getattr(at, part)
        return at
    name = snake(op)
    for place in (F, torch, torch.Tensor, torch.linalg, torch.special):
        f = getattr(place, name, None)
        if callable(f):
            return f
    raise AttributeError(f"PyTorch has no {name}")


def encode(v):
    if isinstance(v, torch.Tensor):
        exact = not v.dtype.is_floating_point
        values = v.detach().to(torch.int64 if exact else torch.float64).flatten().tolist()
        return {
            "shape": list(v.shape),
            "dtype": str(v.dtype).removeprefix("torch."),
            "values": [x if exact else short(x) for x in values],
        }
    if isinstance(v, torch.Size):
        return list(v)
    return v


def short(x):
    """Ten digits: a hundredth of the tolerance, at half the size."""
    if x != x or x in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(x)]
    r = float(f"{x:.10g}")
    return int(r) if r.is_integer() and abs(r) < 1e15 else r


def flat(v):
    if isinstance(v, (tuple, list)) and not isinstance(v, torch.Size):
        return [y for x in v for y in flat(x)]
    return [v]


def keyword(v, dtype_names=frozenset(("dtype",))):
    return {k: getattr(torch, x) if k in dtype_names and isinstance(x, str) else x for k, x in v.items()}


def run(call):
    op = call["op"]
    args, kwargs = [decode(a) for a in call["args"]], {}
    if args and isinstance(args[-1], dict):
        kwargs = keyword(args.pop())
    if op == "at":
        return args[0][tuple(args[1:])]
    if op == "set":
        args[0][tuple(args[1])] = args[2]
        return args[0]
    args = [getattr(torch, a) if isinstance(a, str) and isinstance(getattr(torch, a, None), torch.dtype) else a for a in args]
    if op.endswith(("block_diag", "cartesian_prod", "blockDiag", "cartesianProd")):
        args = args[0]  # Python takes these tensors one by one
    return find(op)(*args, **kwargs)


def types(call, kind, casts):
    torch.set_autocast_dtype(kind, LOW[kind])
    torch.set_autocast_enabled(kind, casts)
    try:
        with FakeTensorMode() if kind == "cuda" else nullcontext(), torch.device(kind):
            results = flat(run(call))
            return [str(v.dtype).removeprefix("torch.") if isinstance(v, torch.Tensor) else kind_of(v) for v in results]
    finally:
        torch.clear_autocast_cache()
        torch.set_autocast_enabled(kind, False)


def kind_of(v):
    return "boolean" if isinstance(v, bool) else "number"


def autocast_types(call):
    """Types of the results without autocast, null where PyTorch refuses the call, and with it."""
    kind = call["autocast"]
    if kind == "cuda" and call["op"].endswith(NEEDS_GPU):
        raise NotImplementedError("needs a GPU")
    try:
        plain = types(call, kind, False)
    except Exception:
        plain = None
    return [plain, types(call, kind, True)]


for line in sys.stdin:
    call = json.loads(line)
    try:
        results = autocast_types(call) if "autocast" in call else [encode(v) for v in flat(run(call))]
        result = {"key": call["key"], "results": results}
    except Exception as error:  # reported beside the results, so that one case does not hide the others
        result = {"key": call["key"], "throws": f"{type(error).__name__}: {error}".splitlines()[0]}
    print(json.dumps(result, separators=(",", ":")))
