"""Reads the files of an index as transformers does, and prints each tensor's sum by name."""

import json
import sys

from safetensors import safe_open

index = json.load(open(sys.argv[1]))
sums = {}
for file in sorted(set(index["weight_map"].values())):
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata()["format"] == "pt"
        for name in opened.keys():
            assert index["weight_map"][name] == file
            sums[name] = opened.get_tensor(name).sum().item()
print(json.dumps(sums, sort_keys=True))
