"""Writes tests/golden/models/{gpt2,bert}.safetensors: small models of Hugging Face's `transformers` with random weights,
what they were asked and the logits that they gave; and gpt2.bin, the same weights as `torch.save` writes them, with the
tied table under both its keys and the masks that older versions kept as buffers.

    .venv/torch/bin/python -m pip install --target /tmp/hf transformers
    PYTHONPATH=/tmp/hf .venv/torch/bin/python scripts/golden_models.py
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

OUT = Path(__file__).parent.parent / "tests" / "golden" / "models"
SIZES = dict(vocab_size=128, initializer_range=0.2)


def write(name, model, asked):
    """Weights under their own keys, each once; what was asked and answered under `test.`"""
    model.eval()
    with torch.no_grad():
        logits = model(**asked).logits
    weights, seen = {}, set()
    for key, value in model.state_dict().items():
        if value.data_ptr() in seen:
            continue
        seen.add(value.data_ptr())
        weights[key] = value.clone().contiguous()
    extra = {f"test.{k}": v.contiguous() for k, v in {**asked, "logits": logits}.items()}
    save_file({**weights, **extra}, OUT / f"{name}.safetensors")


OUT.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)
ids = torch.randint(0, 128, (2, 12))
gpt2 = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=16, **SIZES))
# Biases begin as zeros, norms as ones: drawn, so that a forgotten one shows.
for model_parameter in gpt2.parameters():
    if model_parameter.ndim == 1:
        torch.nn.init.normal_(model_parameter, 0.5, 0.2)
write("gpt2", gpt2, {"input_ids": ids})
mask = torch.ones(16, 16, dtype=torch.bool).tril().view(1, 1, 16, 16)
masks = {f"transformer.h.{i}.attn.{key}": value for i in range(2) for key, value in (("bias", mask), ("masked_bias", torch.tensor(-1e4)))}
torch.save({**gpt2.state_dict(), **masks}, OUT / "gpt2.bin")

bert = BertForMaskedLM(
    BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=16, **SIZES)
)
for model_parameter in bert.parameters():
    if model_parameter.ndim == 1:
        torch.nn.init.normal_(model_parameter, 0.5, 0.2)
mask = torch.ones(2, 12, dtype=torch.int64)
mask[1, 9:] = 0
kinds = torch.zeros(2, 12, dtype=torch.int64)
kinds[:, 6:] = 1
write("bert", bert, {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds})
