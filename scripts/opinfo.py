"""Writes what PyTorch's own authors chose to test their ops and modules with (OpInfo and ModuleInfo) as cases for
`deno task oracle`: results, gradients of random upstream ones, and the calls that must throw.

    .venv/torch/bin/python scripts/opinfo.py --out /tmp/opinfo
    .venv/torch/bin/python scripts/opinfo.py --out /tmp/one --only linalg.qr --dtypes float64 --max-samples 100

The format is that of the oracle's shards: `<shard>.json` names the calls, `<shard>.safetensors` holds the tensors.
PyTorch's test tools also need the package `expecttest`.
"""

import argparse
import json
import re
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db

TEN = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
DTYPES = {getattr(torch, name) for name in TEN}
# Other machinery than tensors of the ten dtypes on one CPU, or no public name.
SKIPPED = re.compile(r"^(_|ops\.|fft\.|sparse\.|masked\.|jiterator|signal\.|torch\.ops|nested|.*_complex$|.*\.alias$)")


# Ops whose gradient fails PyTorch's own gradcheck: that of as_strided_scatter is the gradient of the window where it should
# be that of the rest. Their results are recorded, their gradients are not.
WRONG_GRADIENT = {"as_strided_scatter"}


class Skip(Exception):
    """A value that the format has no form for, or a call that PyTorch itself does not do."""


def public(name):
    """PyTorch's function behind OpInfo's name, and the oracle's name for it."""
    if name.startswith("nn.functional."):
        name = name.removeprefix("nn.functional.")
        return f"F.{name}", getattr(F, name, None)
    at = torch
    for part in name.split("."):
        at = getattr(at, part, None)
    if callable(at):
        return f"torch.{name}", at
    return f"T.{name}", getattr(torch.Tensor, name, None)


class Writer:
    """One shard: cases and the tensors that they name."""

    def __init__(self):
        self.cases, self.tensors = [], {}

    def store(self, t):
        key = str(len(self.tensors))
        self.tensors[key] = t.detach().clone(memory_format=torch.contiguous_format).contiguous()
        return key

    def encode(self, v, met=None):
        """A value's form; collects into `met` the tensors, depth first."""
        if isinstance(v, torch.Tensor):
            if v.layout != torch.strided or v.device.type != "cpu" or v.is_quantized or v.dtype not in DTYPES:
                raise Skip(f"a tensor of {v.dtype}")
            if v.is_conj() or v.is_neg():
                raise Skip("a lazy view")
            form = {"t": self.store(v)}
            if v.requires_grad:
                form["rg"] = True
            if not v.is_contiguous():
                form |= {"stride": list(v.stride()), "offset": v.storage_offset()}
            if met is not None:
                met.append(v)
            return form
        if v is None or isinstance(v, (bool, str)):
            return v
        if isinstance(v, int):
            return v
        if isinstance(v, float):
            return {"f": v if v == v and abs(v) != float("inf") else str(v)}
        if isinstance(v, torch.dtype):
            if v not in DTYPES:
                raise Skip(str(v))
            return {"dtype": str(v).removeprefix("torch.")}
        if isinstance(v, slice):
            return {"slice": [v.start, v.stop, v.step]}
        if v is Ellipsis:
            return {"ellipsis": True}
        if isinstance(v, (list, tuple)):
            return [self.encode(x, met) for x in v]
        if isinstance(v, dict):
            return {"d": self.record(v, met)}
        if isinstance(v, torch.device):
            return str(v)
        raise Skip(f"a {type(v).__name__}")

    def record(self, kwargs, met=None):
        return {k: self.encode(v, met) for k, v in kwargs.items()}

    def attempt(self, skips, identifier, add, *args):
        """Adds a case, or says why not and forgets its tensors."""
        before = len(self.tensors)
        try:
            add(self, *args, identifier)
        except Exception as error:
            skips.append(f"{identifier}: {type(error).__name__} {error}".split("\n")[0])
            for key in list(self.tensors)[before:]:
                del self.tensors[key]

    def write(self, folder, name):
        if not self.cases:
            return
        save_file(self.tensors, folder / f"{name}.safetensors")
        document = {"shard": name, "tensors": f"{name}.safetensors", "cases": self.cases}
        (folder / f"{name}.json").write_text(json.dumps(document))


def mapped(v, f):
    """The same structure with every tensor changed."""
    if isinstance(v, torch.Tensor):
        return f(v)
    if isinstance(v, (list, tuple)) and not isinstance(v, torch.Size):
        return type(v)(mapped(x, f) for x in v) if type(v) in (list, tuple) else [mapped(x, f) for x in v]
    if isinstance(v, dict):
        return {k: mapped(x, f) for k, x in v.items()}
    return v


def tensors_of(v):
    found = []
    mapped(v, lambda t: found.append(t) or t)
    return found


def plain(out):
    """Named tuples and sizes as lists."""
    if isinstance(out, (tuple, list)):
        return [plain(x) for x in out]
    return out


def fresh(v):
    """The same arguments as leaves of their own, with the same strides."""

    def copy(t):
        c = torch.empty_strided(t.size(), t.stride(), dtype=t.dtype) if 0 not in t.stride() else torch.empty_like(t)
        c.copy_(t.detach())
        return c.requires_grad_(t.requires_grad)

    return mapped(v, copy)


def widened(v):
    """The same arguments in float64."""

    def copy(t):
        return t.detach().double().requires_grad_(t.requires_grad) if t.is_floating_point() else t.detach().clone()

    wide = mapped(v, copy)
    if isinstance(wide, dict) and isinstance(wide.get("dtype"), torch.dtype) and wide["dtype"].is_floating_point:
        wide["dtype"] = torch.float64
    return wide


def distance(got, want):
    """[largest absolute, largest relative] distance over the finite elements of all tensors."""
    worst = [0.0, 0.0]
    for a, b in zip(got, want):
        if a is None or b is None or not a.is_floating_point() or a.shape != b.shape or a.numel() == 0:
            continue
        a, b = a.detach().double(), b.detach().double()
        d = (a - b).abs()
        d = d[d.isfinite()]
        r = ((a - b).abs() / b.abs())
        r = r[r.isfinite() & (b.abs() > 1e-300)]
        if d.numel():
            worst[0] = max(worst[0], float(d.max()))
        if r.numel():
            worst[1] = max(worst[1], float(r.max()))
    return worst


def evaluate(f, args, kwargs, seeds=None):
    """The results, the leaves that want gradients, and the gradients for given upstream ones."""
    out = f(*args, **kwargs)
    flat = tensors_of(out)
    leaves = [t for t in tensors_of([args, kwargs]) if t.requires_grad]
    distinct = list(dict.fromkeys(leaves))
    if not leaves or not any(t.requires_grad for t in flat):
        return out, flat, [], None, None
    with_grad = [t for t in flat if t.requires_grad]
    if seeds is None:
        seeds = [torch.randn(t.shape, dtype=torch.float64).to(t.dtype) for t in with_grad]
    grads = torch.autograd.grad(with_grad, distinct, [s.to(t.dtype) for s, t in zip(seeds, with_grad)], allow_unused=True)
    return out, flat, distinct, seeds, grads


def add_case(writer, op, f, args, kwargs, check, identifier):
    """One call whose result is recorded."""
    torch.manual_seed(1)
    call_args, call_kwargs = fresh(args), fresh(kwargs)
    met = []
    forms = [writer.encode(a, met) for a in call_args], writer.record(call_kwargs, met)
    try:
        out, flat, leaves, seeds, grads = evaluate(f, call_args, call_kwargs)
    except (RuntimeError, NotImplementedError) as error:
        if "derivative" not in str(error) and "backward" not in str(error) and "not implemented" not in str(error):
            raise
        with torch.no_grad():
            out = f(*fresh(args), **fresh(kwargs))
        flat, leaves, seeds, grads = tensors_of(out), [], None, None
    if check is not None:
        torch.manual_seed(1)
        expected = tensors_of(check(*fresh(args), **fresh(kwargs)))
        if len(expected) != len(flat) or not all(
            a.shape == b.shape and torch.allclose(a.double(), b.double(), equal_nan=True) for a, b in zip(flat, expected)
        ):
            raise Skip("the public function does another thing")
    torch.manual_seed(2)
    again = tensors_of(f(*fresh(args), **fresh(kwargs)))
    drawn = "empty" in op or op.endswith("multinomial") or "fractional" in op
    random = drawn or any(a.shape != b.shape or not torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(flat, again))
    case = {"id": identifier, "op": op, "args": forms[0]}
    if forms[1]:
        case["kwargs"] = forms[1]
    case["out"] = writer.encode(mapped(plain(out), lambda t: t.detach()))
    case["out_dtype"] = [str(t.dtype).removeprefix("torch.") for t in flat]
    if random:
        case["tags"] = ["random"]
    if grads is not None and not random:
        gradient = iter(seeds)
        case["grad_out"] = [{"t": writer.store(next(gradient))} if t.requires_grad else None for t in flat]
        index = {id(t): i for i, t in reversed(list(enumerate(met)))}
        case["grad_of"] = [index[id(t)] for t in leaves]
        case["grads"] = [None if g is None else writer.encode(g.detach()) for g in grads]
    if any(t.is_floating_point() for t in flat) and not random:
        try:
            torch.manual_seed(1)
            _, exact, _, _, exact_grads = evaluate(f, widened(args), widened(kwargs), seeds)
            case["err"] = distance(flat, exact)
            if grads is not None:
                case["gerr"] = distance(grads, exact_grads or [])
        except Exception:  # an op that does not take float64: PyTorch's tolerances alone hold
            pass
    writer.cases.append(case)


def add_throw(writer, op, f, args, kwargs, identifier):
    """One call that must throw, and does in PyTorch."""
    try:
        f(*fresh(args), **fresh(kwargs))
    except Exception as error:
        case = {"id": identifier, "op": op, "args": [writer.encode(a) for a in args], "tags": ["error"]}
        if kwargs:
            case["kwargs"] = writer.record(kwargs)
        case["throws"] = {"type": type(error).__name__, "message": str(error).split("\n")[0]}
        writer.cases.append(case)


def spread(items, most):
    """At most so many, evenly picked."""
    items = list(items)
    if most <= 0 or len(items) <= most:
        return items
    return [items[i * len(items) // most] for i in range(most)]


def arguments(info, sample):
    """A sample's arguments in the order of the public function: OpInfo calls polygamma(input, n)."""
    args = [sample.input, *sample.args]
    return [args[1], args[0], *args[2:]] if info.name.endswith("polygamma") else args


def dump_op(writer, info, options, skips):
    op, f = public(info.name)
    if f is None:
        skips.append(f"{info.name}: no public function")
        return
    swapped = info.name.endswith("polygamma")
    check = None if info.op is f else (lambda n, x: info.op(x, n)) if swapped else info.op
    variant = f".{info.variant_test_name}" if info.variant_test_name else ""
    for name in options.dtypes.split(","):
        dtype = getattr(torch, name)
        if dtype not in info.dtypes:
            continue
        wants = dtype.is_floating_point and info.supports_autograd and info.name not in WRONG_GRADIENT
        try:
            samples = spread(info.sample_inputs("cpu", dtype, requires_grad=wants), options.max_samples)
        except Exception as error:
            skips.append(f"{info.name}: {error}")
            continue
        for i, sample in enumerate(samples):
            args = arguments(info, sample)
            kwargs = {k: v for k, v in sample.kwargs.items() if k not in ("device", "layout", "memory_format", "pin_memory")}
            identifier = f"{op}{variant}/{name}/{i}"
            writer.attempt(skips, identifier, add_case, op, f, args, kwargs, check)
            if i >= 2 or check is not None or not isinstance(sample.input, torch.Tensor):
                continue
            forms = [f"T.{info.name}"] if op.startswith("torch.") else []
            if info.inplace_variant is not None and op.startswith("torch."):
                forms.append(f"T.{info.name}_")
            for method in forms:
                g = getattr(torch.Tensor, method[2:], None)
                if g is None:
                    continue
                given = mapped(args, lambda t: t.detach()) if method.endswith("_") else args
                writer.attempt(skips, f"{method}{variant}/{name}/{i}", add_case, method, g, given, kwargs, None)
    if info.error_inputs_func is not None:
        try:
            for i, bad in enumerate(info.error_inputs("cpu")):
                sample, identifier = bad.sample_input, f"{op}{variant}/error/{i}"
                writer.attempt(skips, identifier, add_throw, op, f, arguments(info, sample), sample.kwargs)
        except Exception as error:
            skips.append(f"{info.name} errors: {error}")


def dump_module(writer, info, options, skips):
    for mode in (True, False) if info.train_and_eval_differ else (True,):
        torch.manual_seed(3)
        inputs = info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=True, training=mode)
        for i, given in enumerate(spread(inputs, options.max_samples)):
            if given.forward_input is None:
                continue
            identifier = f"{info.name.replace('nn.', '', 1)}/{'train' if mode else 'eval'}/{i}"
            writer.attempt(skips, identifier, add_module, info, given, mode)


def add_module(writer, info, given, mode, identifier):
    ctor = given.constructor_input
    torch.manual_seed(4)
    module = info.module_cls(*ctor.args, **ctor.kwargs).train(mode)
    case = {
        "id": identifier,
        "op": info.name,
        "ctor": {"args": [writer.encode(a) for a in ctor.args], "kwargs": {"d": writer.record(ctor.kwargs)}},
        "train": mode,
        "state": {k: writer.encode(v.detach()) for k, v in module.state_dict().items()},
        "param_names": [k for k, _ in module.named_parameters()],
        "state_keys": list(module.state_dict()),
    }
    wide = info.module_cls(*ctor.args, **ctor.kwargs).train(mode).double()
    wide.load_state_dict(module.state_dict())
    args, kwargs = fresh(list(given.forward_input.args)), fresh(given.forward_input.kwargs)
    met = []
    case["args"], case["kwargs"] = [writer.encode(a, met) for a in args], writer.record(kwargs, met)
    wide_args, wide_kwargs = widened(args), widened(kwargs)

    def run(m, args, kwargs, seeds):
        out = m(*args, **kwargs)
        flat = tensors_of(out)
        live = [t for t in flat if t.requires_grad]
        leaves = list(dict.fromkeys(t for t in tensors_of([args, kwargs]) if t.requires_grad))
        if seeds is None:
            seeds = [torch.randn(t.shape) for t in live]
        wanted = [*leaves, *m.parameters()]
        grads = [None] * len(wanted)
        if live and wanted:
            grads = torch.autograd.grad(live, wanted, [s.to(t.dtype) for s, t in zip(seeds, live)], allow_unused=True)
        return out, flat, seeds, grads, len(leaves)

    out, flat, seeds, grads, leaves = run(module, args, kwargs, None)
    case["out"] = writer.encode(mapped(plain(out), lambda t: t.detach()))
    gradient = iter(seeds)
    case["grad_out"] = [{"t": writer.store(next(gradient))} if t.requires_grad else None for t in flat]
    forms = [None if g is None else writer.encode(g.detach()) for g in grads]
    case["grads"] = forms[:leaves]
    case["param_grads"] = dict(zip(case["param_names"], forms[leaves:]))
    case["state_after"] = {k: writer.encode(v.detach()) for k, v in module.named_buffers()}
    _, exact, _, exact_grads, _ = run(wide, wide_args, wide_kwargs, seeds)
    case["err"], case["gerr"] = distance(flat, exact), distance(grads, exact_grads)
    torch.manual_seed(77)
    again = tensors_of(module(*fresh(args), **fresh(kwargs)))
    if mode and any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(flat, again)) and not case["state_after"]:
        raise Skip("a random result")
    writer.cases.append(case)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to write; git ignores out/ and .toro/")
    parser.add_argument("--only", action="append", default=[], help="OpInfo's name, such as linalg.qr or nn.Linear")
    parser.add_argument("--dtypes", default="float32,bfloat16,int64,bool")
    parser.add_argument("--max-samples", type=int, default=12, help="of each op and dtype, evenly picked; 0 is all")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    skips, cases = [], 0
    groups = {}
    for info in op_db:
        if not SKIPPED.match(info.name) and (not options.only or info.name in options.only or info.name.split(".")[-1] in options.only):
            groups.setdefault(f"opinfo_{info.name}", []).append((dump_op, info))
    for info in module_db:
        if not options.only or info.name in options.only:
            groups.setdefault(f"modinfo_{info.name}", []).append((dump_module, info))
    for shard, parts in groups.items():
        writer = Writer()
        for dump, info in parts:
            torch.manual_seed(0)
            dump(writer, info, options, skips)
        cases += len(writer.cases)
        writer.write(options.out, shard)
    (options.out / "skipped.txt").write_text("".join(f"{line}\n" for line in skips))
    print(f"{cases} cases in {len(groups)} shards; {len(skips)} left out, see skipped.txt")


if __name__ == "__main__":
    main()
