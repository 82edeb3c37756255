#!/bin/sh
# What to run where a GPU is at hand, in less than ten minutes: CUDA against CPU, then speed on the device.
# Results are written to bench/results/gpu/. DEVICE=cpu tries the script on a machine without a GPU.
set -eu
cd "$(dirname "$0")/.."
device=${DEVICE:-cuda}
out=bench/results/gpu
mkdir -p "$out"
if [ "$device" = cuda ]; then
    python -c 'import sys, torch; torch.cuda.is_available() or sys.exit("torch sees no CUDA GPU; DEVICE=cpu tries the script")'
    python -c 'import torch; print(torch.__version__, torch.cuda.get_device_name())' > "$out/device.txt"
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv >> "$out/device.txt" || true
fi
failed=0
timeout 180 python -m pytest tests/models -q -k "cuda or rectangle_runner" -p no:cacheprovider | tee "$out/agreement.txt" || failed=1
grep -q " passed" "$out/agreement.txt" && ! grep -q " failed" "$out/agreement.txt" || failed=1
for scenario in score-windows encode-templates encode-messages train-step; do
    timeout 100 python -m bench run "$scenario" --set "device=$device" --out "$out/$scenario.json" || failed=1
done
exit $failed
