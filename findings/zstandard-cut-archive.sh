#!/usr/bin/env bash
# zstandard 0.25.0 (Python): a .zst file that was cut in half, as by a full disk or a broken download, reads as
# if it were whole through five of the six ways to decompress. Only decompress() raises. A file of two frames,
# as `zstd` writes when files are concatenated, ends after the first frame for three of them.
# What follows for readers of logs: compare the number of bytes consumed with the size of the file, and continue
# with the next frame until the input is used up.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" zstandard==0.25.0
PYTHONPATH=$folder python3 - <<'PY'
import io, random, zstandard

random.seed(1)
text = b"".join(b"%d %s\n" % (i, random.randbytes(8).hex().encode()) for i in range(20_000))
compress = zstandard.ZstdCompressor().compress
whole = compress(text)
cut, frames = whole[: len(whole) // 2], compress(b"a\n" * 10) + compress(b"b\n" * 10)


def written(copy):
    out = io.BytesIO()
    copy(out)
    return out.getvalue()


new = zstandard.ZstdDecompressor
ways = {
    "stream_reader": lambda data: new().stream_reader(io.BytesIO(data)).read(),
    "copy_stream": lambda data: written(lambda out: new().copy_stream(io.BytesIO(data), out)),
    "stream_writer": lambda data: written(lambda out: new().stream_writer(out).write(data)),
    "read_to_iter": lambda data: b"".join(new().read_to_iter(io.BytesIO(data))),
    "decompressobj": lambda data: new().decompressobj().decompress(data),
    "decompress": lambda data: new().decompress(data),
}


def seen(way, data):
    try:
        return len(way(data))
    except zstandard.ZstdError:
        return "error"


print(f"zstandard {zstandard.__version__}: {len(text)} bytes in the whole file, 40 in the two frames")
found = {name: (seen(way, cut), seen(way, frames)) for name, way in ways.items()}
for name, (half, two) in found.items():
    print(f"{name:14} cut file: {half:>6}   two frames: {two}")
assert [name for name, (half, _) in found.items() if half == "error"] == ["decompress"], found
assert all(0 < half < len(text) for half, _ in found.values() if half != "error"), found
assert [name for name, (_, two) in found.items() if two == 20] == ["read_to_iter", "decompressobj", "decompress"], found
PY
