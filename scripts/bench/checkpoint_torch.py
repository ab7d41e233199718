"""PyTorch's side of checkpoint.ts: answers each line with seconds."""

import json
import os
import sys
import time

import torch

torch.set_num_threads(2)
folder, count, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
state = {f"table{i}": torch.randn(rows, 64) for i in range(count)}
path = os.path.join(folder, "state.pt")


def save():
    with open(path, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


def load():
    # Freed after the clock stops.
    return torch.load(path)


def mapped():
    return torch.load(path, mmap=True)


print("ready", flush=True)
for line in sys.stdin:
    name, times = line.split()
    work = {"save": save, "load": load, "mapped": mapped}[name]
    seconds = 0.0
    for _ in range(int(times)):
        begin = time.perf_counter()
        result = work()
        seconds += time.perf_counter() - begin
        del result
    print(json.dumps(seconds / int(times)), flush=True)
