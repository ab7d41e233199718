"""Writes scripts/pytorch_names.txt: PyTorch's public functions, methods, modules, optimisers and schedulers, one a line,
as the oracle's cases name them (`torch.add`, `T.add_`, `F.gelu`, `nn.Linear`). docs/pytorch-names.md is made from it.

    .venv/torch/bin/python scripts/pytorch_names.py

Left out is what no script calls: names that begin with an underscore, other machinery (complex, sparse, quantised,
named, nested and symbolic tensors, spectra), PyTorch's own plumbing, forms for other devices' libraries, and functions
that PyTorch has kept as a name that throws (`torch.qr`).
"""

import inspect
import re
from pathlib import Path

import torch
import torch.autograd.functional
import torch.nn.functional as F
import torch.nn.utils.parametrizations
import torch.nn.utils.prune
import torch.optim.swa_utils

OTHER = re.compile(
    r"^_|^(sym_|q_|fft|ifft|rfft|irfft|hfft|stft|istft|cudnn|mkldnn|miopen|fbgemm|quantize|dequantize|fake_quantize|"
    r"int_repr|is_complex|view_as_complex|view_as_real|complex|polar|imag|is_conj|is_neg|is_inference|sparse|to_sparse|"
    r"to_dense|to_mkldnn|coalesce|crow_|ccol_|col_ind|row_ind|indices$|values$|smm|sspaddmm|hspmm|saddmm|rename|refine_|"
    r"align_|names$|has_names|nested|is_distributed|is_vulkan|compile|export|vmap|cond$|while_loop|jit|native_|"
    r"batch_norm_|rnn_|lstm|gru|ctc_loss|segment_reduce|sparse_|set_$|storage|untyped|pin_memory|is_pinned|"
    r"is_shared|share_memory|record_stream|apply_|map_|map2_|as_subclass|chalf|cfloat|cdouble|bartlett|blackman|"
    r"hamming|hann|kaiser|from_|to_dlpack|obj|Named|Sym|Script|handle_torch|has_torch|get_file|unify|wait|fork|"
    r"adaptive_autorange|affine_grid_generator|binary_cross_entropy_with_logits_|embedding_renorm_|channel_shuffle$|"
    r"feature_dropout|grid_sampler|instance_norm$|layer_norm$|group_norm$|max_pool|quantized|sparse_resize)|"
    r"_copy_|(_is_same_size|_backward|_out|_jvp|_for_eval|_with_indices)$"
)
GROUPS = [
    ("torch", torch, "torch"),
    ("T", torch.Tensor, "Tensor"),
    ("F", F, "nn.functional"),
    ("torch.linalg", torch.linalg, "linalg"),
    ("torch.special", torch.special, "special"),
    ("nn", torch.nn, "nn"),
    ("nn.init", torch.nn.init, "nn.init"),
    ("nn.utils", torch.nn.utils, "nn.utils"),
    ("nn.utils.parametrizations", torch.nn.utils.parametrizations, "own"),
    ("nn.utils.parametrize", torch.nn.utils.parametrize, "own"),
    ("nn.utils.prune", torch.nn.utils.prune, "own"),
    ("nn.utils.rnn", torch.nn.utils.rnn, "own"),
    ("optim", torch.optim, "optim"),
    ("optim.lr_scheduler", torch.optim.lr_scheduler, "optim.lr_scheduler"),
    ("optim.swa_utils", torch.optim.swa_utils, "own"),
    ("autograd", torch.autograd, "autograd"),
    ("autograd.functional", torch.autograd.functional, "own"),
]

# Of torch.autograd only what a script calls; the rest is the profiler's and PyTorch's own.
AUTOGRAD = {"Function", "backward", "detect_anomaly", "grad", "gradcheck", "gradgradcheck"}


# Switches and plumbing of PyTorch's own run time.
PLUMBING = re.compile(
    r"^(set_(?!default_dtype|rng_state)|get_(?!default_dtype|rng_state)|is_autocast|is_anomaly|is_determ|is_warn|"
    r"are_determ|use_determ|autocast_|clear_auto|import_ir|parse_|merge_type|prepare_multi|profiler_|choose_q|classprop|"
    r"init_num|thread_safe|typename|empty_quant|fused_moving|is_storage|hash_tensor|dsmm|hsmm|spmm|conv_tbc|convolution|"
    r"const_data|data_ptr|dim_order|ipu|mtia|xpu|dense_dim|is_coal|is_set_to|module_load|qscheme|to_padded|slice_inv|"
    r"unsafe_split_with|values_copy|indices_copy|resize_as_sparse|norm_except|frobenius_norm|nuclear_norm|"
    r"assert_int|boolean_disp|scaled_|grouped_mm|multi_head_attention_f|reinforce|eig$|symeig|lstsq$|solve$|"
    r"matrix_rank$|cholesky$|qr$|rename)"
)


def public(space, name, kind):
    if name.startswith("_") or (kind in ("torch", "Tensor") and OTHER.search(name)):
        return False
    if kind in ("torch", "Tensor", "nn.functional") and PLUMBING.search(name):
        return False
    value = inspect.getattr_static(space, name) if kind == "Tensor" else getattr(space, name, None)
    if kind == "autograd":
        return name in AUTOGRAD
    if kind == "own":
        own = getattr(value, "__module__", "") == space.__name__
        return callable(value) and own and name not in ("PackedSequence_", "bind")
    if kind in ("nn", "optim", "optim.lr_scheduler"):
        own = getattr(value, "__module__", "").startswith(f"torch.{kind.split('.')[0]}")
        return inspect.isclass(value) and own and not name.startswith(("Lazy", "Quant"))
    if kind == "Tensor":
        return callable(value) or inspect.ismethoddescriptor(value)
    if not callable(value) or inspect.isclass(value) or inspect.ismodule(value):
        return False
    home = getattr(value, "__module__", "") or ""
    return "typing" not in home and "torch._C._" not in home.removeprefix("torch._C._V").removeprefix("torch._C._nn")


lines = []
for prefix, space, kind in GROUPS:
    lines += sorted(f"{prefix}.{name}" for name in dir(space) if public(space, name, kind))
path = Path(__file__).with_name("pytorch_names.txt")
path.write_text(f"# torch {torch.__version__.split('+')[0]}\n" + "\n".join(lines) + "\n")
print(f"{len(lines)} names in {path}")
