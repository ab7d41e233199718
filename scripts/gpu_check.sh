#!/usr/bin/env bash
# Checks Toro on a machine with an NVIDIA GPU: a driver for CUDA 13, Python with torch 2.11 for the comparison, no network.
#
#   scripts/gpu_check.sh pack FILE.tar   in a built checkout: library (stripped) and Deno as xz, and what the check needs
#   scripts/gpu_check.sh [OUT]           in the unpacked folder, or in a checkout: suite, compute-sanitizer, benchmark
#
# Writes suite.txt, sanitizer.txt, bench.json and bench.md into OUT (default out/gpu_check). Under 9 minutes. Where there is
# no GPU everything runs on the emulator at tiny dims, which needs g++ and says nothing of speed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
limit_mib=60

pack() {
  local target library deno bytes
  target=$(realpath -m "$1")
  staged=$(mktemp -d)
  trap 'rm -rf "${staged:-}"' EXIT
  library=${TORO_LIB:-native/target/release/libtoro.so}
  deno=$(deno eval 'console.log(Deno.execPath())')
  git ls-files -z -- deno.json deno.lock mod.ts src ffi tests scripts examples native/emulator 'native/src/*.cu' 'native/src/*.cuh' |
    xargs -0 cp --parents -t "$staged" || exit 1
  mkdir "$staged/bin"
  strip --strip-unneeded -o "$staged/bin/libtoro.so" "$library" || exit 1
  cp "$deno" "$staged/bin/deno" && strip "$staged/bin/deno" 2>/dev/null
  xz -6 -T0 "$staged/bin/libtoro.so" "$staged/bin/deno" || exit 1
  tar -cf "$target" -C "$staged" . || exit 1
  bytes=$(stat -c %s "$target")
  echo "$target: $((bytes >> 20)) MiB (library $(stat -c %s "$staged/bin/libtoro.so.xz") bytes, Deno $(stat -c %s "$staged/bin/deno.xz") bytes)"
  if ((bytes > limit_mib << 20)); then
    echo "More than the $limit_mib MiB that may travel" >&2
    exit 1
  fi
}

if [[ ${1:-} == pack ]]; then
  [[ -n ${2:-} ]] || { echo "usage: scripts/gpu_check.sh pack FILE.tar" >&2; exit 2; }
  pack "$2"
  exit 0
fi

out=$(realpath -m "${1:-out/gpu_check}")
mkdir -p "$out"
if [[ -f bin/deno.xz ]]; then
  [[ -f bin/deno ]] || xz -dk bin/deno.xz
  [[ -f bin/libtoro.so ]] || xz -dk bin/libtoro.so.xz
  chmod +x bin/deno
  PATH="$root/bin:$PATH"
  export TORO_LIB="$root/bin/libtoro.so"
fi
export DENO_NO_UPDATE_CHECK=1 NO_COLOR=1
failed=0

# step NAME SECONDS FILE COMMAND…: runs a command with a time limit and keeps what it prints.
step() {
  local name=$1 limit=$2 file=$3 start=$SECONDS code=0
  shift 3
  echo "==> $name"
  timeout --kill-after=10 "$limit" "$@" >"$file" 2>&1 || code=$?
  tail -n 6 "$file"
  echo "$name: $((SECONDS - start)) s, $([[ $code == 0 ]] && echo ok || echo "FAILED ($code)")"
  [[ $code == 0 ]] || failed=1
}

# Tests that bring drivers of their own, or bugs, are the emulator's.
suite=(tests/cuda "--ignore=$(printf 'tests/cuda/%s_test.ts,' driver planted cublas cudnn)tests/cuda/cudnn_attention_test.ts")
test=(deno test -A --no-check --preload ./tests/preload.ts)
reason=$(deno eval --ext=ts 'import { cuda } from "./mod.ts"; console.log(cuda.unavailableReason() ?? "")')
tiny=()
if [[ -n $reason ]]; then
  echo "No GPU: $reason"
  echo "Everything runs on the emulator; times say nothing."
  settings=$(deno eval --ext=ts '
    import { buildEmulator, emulated } from "./scripts/emulator.ts";
    const settings = { ...emulated(await buildEmulator()), TORO_CUDA_LIBRARIES: "" };
    for (const [k, v] of Object.entries(settings)) console.log(`export ${k}=${JSON.stringify(v)}`);
  ') || exit 1
  eval "$settings"
  tiny=(--tiny)
fi
python=()
for candidate in ${TORO_TORCH_PYTHON:-} python3 .venv/torch/bin/python; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import torch' 2>/dev/null; then
    python=(--python "$candidate")
    break
  fi
done
[[ ${#python[@]} -gt 0 ]] || echo "No Python with torch: Toro is timed alone"
if [[ ${#python[@]} -gt 0 && ${#tiny[@]} == 0 && -z ${TORO_CUDA_PATH:-} ]]; then
  # PyTorch brings cuBLASLt and cuDNN, and then both sides use the same.
  TORO_CUDA_PATH=$("${python[1]}" -c 'import nvidia
print(":".join(f"{path}/{part}/lib" for path in nvidia.__path__ for part in ("cu13", "cudnn")))' 2>/dev/null) &&
    export TORO_CUDA_PATH
fi
deno run -A scripts/doctor.ts | tee "$out/machine.txt"

step "suite" 150 "$out/suite.txt" "${test[@]}" "${suite[@]}"
if command -v compute-sanitizer >/dev/null && [[ ${#tiny[@]} == 0 ]]; then
  # Each finds what the others do not; a part of the kernels under the slower ones. The own ones are meant. A kernel is looked
  # for in one module after another: calls that find none are no errors.
  kernels=("${test[@]}" tests/cuda/cases_test.ts)
  export TORO_CUDA_CACHE=0 TORO_CUDA_LIBRARIES=0
  step "memcheck" 70 "$out/memcheck.txt" compute-sanitizer --tool memcheck --report-api-errors no --error-exitcode 9 \
    "${kernels[@]}" --filter '/^(softmax|layerNorm|batchNorm|embedding|matmul|sum|sort|cumsum|crossEntropy|gelu|conv2d) on/'
  for tool in racecheck synccheck initcheck; do
    step "$tool" 35 "$out/$tool.txt" compute-sanitizer --tool $tool --error-exitcode 9 \
      "${kernels[@]}" --filter '/^(softmax|layerNorm|matmul|sum) on/'
  done
  unset TORO_CUDA_CACHE TORO_CUDA_LIBRARIES
else
  echo "compute-sanitizer: not there"
fi
step "bench" 210 "$out/bench.txt" deno run -A scripts/bench/main.ts --device cuda "${tiny[@]}" "${python[@]}" \
  --json "$out/bench.json"
[[ -f $out/bench.md ]] && cat "$out/bench.md"
echo "$((SECONDS)) s in all, $([[ $failed == 0 ]] && echo "everything passed" || echo "something FAILED"); files in $out"
exit $failed
