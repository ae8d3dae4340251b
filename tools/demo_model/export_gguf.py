#!/usr/bin/env python3
"""Writes the trained demo model as a GGUF v3 file with F32 tensors. usage: export_gguf.py DIR OUT.gguf

DIR holds what train.py wrote: weights.npz, tokenizer.json and config.json. Needs nothing but Python's standard library.
"""

import ast
import json
import pathlib
import struct
import sys
import zipfile

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # value types, numbered as GGUF does
PACKING = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}
NORMAL_TOKEN, CONTROL_TOKEN, UNUSED_TOKEN = 1, 3, 5
GGML_F32 = 0
ALIGNMENT = 32

# Llama 3's form of a conversation: a header with the role, the text, <|eot_id|>. The model was trained on single questions,
# so the template shows it the last message only: with earlier ones before it, answers go wrong.
CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- if loop.last %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{%- endif %}"
)


def padding(size):
    return b"\0" * (-size % ALIGNMENT)


def pack_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def pack_value(kind, value):
    return pack_string(value) if kind == STRING else struct.pack(PACKING[kind], value)


def pack_entry(key, kind, value):
    if isinstance(value, list):
        head = struct.pack("<IIQ", ARRAY, kind, len(value))
        return pack_string(key) + head + b"".join(pack_value(kind, v) for v in value)
    return pack_string(key) + struct.pack("<I", kind) + pack_value(kind, value)


def metadata(config, tokenizer, notice):
    tokens = tokenizer["tokens"]
    special = {text: tokens.index(text) for text in tokenizer["special"]}

    def token_type(text):
        if text in special:
            return CONTROL_TOKEN
        return UNUSED_TOKEN if text.startswith("<|unused") else NORMAL_TOKEN

    return [
        ("general.architecture", STRING, "llama"),
        ("general.name", STRING, "Quern demo"),
        ("general.description", STRING, "Defines common English words and does small sums"),
        ("general.license.name", STRING, "WordNet 3.0 License"),
        ("general.license.text", STRING, notice),
        ("general.file_type", UINT32, 0),
        ("general.sampling.temp", FLOAT32, 0.0),  # one right answer to each question: greedy
        ("llama.context_length", UINT32, 1024),
        ("llama.embedding_length", UINT32, config["dim"]),
        ("llama.block_count", UINT32, config["layers"]),
        ("llama.feed_forward_length", UINT32, config["ffn"]),
        ("llama.attention.head_count", UINT32, config["heads"]),
        ("llama.attention.head_count_kv", UINT32, config["kv_heads"]),
        ("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        ("llama.rope.dimension_count", UINT32, config["dim"] // config["heads"]),
        ("llama.rope.freq_base", FLOAT32, config["theta"]),
        ("llama.vocab_size", UINT32, config["vocab"]),
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "llama-bpe"),
        ("tokenizer.ggml.tokens", STRING, tokens),
        ("tokenizer.ggml.token_type", INT32, [token_type(text) for text in tokens]),
        ("tokenizer.ggml.merges", STRING, tokenizer["merges"]),
        ("tokenizer.ggml.bos_token_id", UINT32, special["<|begin_of_text|>"]),
        ("tokenizer.ggml.eos_token_id", UINT32, special["<|eot_id|>"]),
        ("tokenizer.ggml.add_bos_token", BOOL, True),
        ("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]


def read_tensors(path):
    """Yields (name, shape, bytes) of the arrays in an .npz file of little-endian float32."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            data = archive.read(entry)
            (header_size,) = struct.unpack_from("<H", data, 8)  # .npy version 1: magic, version, size
            header = ast.literal_eval(data[10 : 10 + header_size].decode())
            if header["descr"] != "<f4" or header["fortran_order"]:
                sys.exit(f"error: {path}: {entry} is {header}, expected row-major float32")
            yield entry.removesuffix(".npy"), header["shape"], data[10 + header_size :]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, out = map(pathlib.Path, sys.argv[1:])
    config = json.loads((source / "config.json").read_text())
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    notice = pathlib.Path(__file__).with_name("WORDNET-LICENSE").read_text()
    entries = metadata(config, tokenizer, notice)

    infos, blobs, offset = [], [], 0
    for name, shape, data in read_tensors(source / "weights.npz"):
        dims = b"".join(struct.pack("<Q", n) for n in reversed(shape))  # GGUF names the row length first
        infos.append(pack_string(name) + struct.pack("<I", len(shape)) + dims + struct.pack("<IQ", GGML_F32, offset))
        blobs.append(data + padding(len(data)))
        offset += len(blobs[-1])

    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(entries))
    head += b"".join(pack_entry(*entry) for entry in entries) + b"".join(infos)
    out.write_bytes(head + padding(len(head)) + b"".join(blobs))


if __name__ == "__main__":
    main()
