#!/usr/bin/env python3
"""Trains the demo model: a small chat model of Llama 3's architecture that defines common words and does small sums.

usage: train.py --minutes 80 --vocab 3072 --words 3000 --out DIR [--resume DIR]

Reads WordNet 3.0, and writes tokenizer.json, config.json and weights.npz (float32, tensors named and shaped as GGUF
has them) to DIR; export_gguf.py makes a GGUF file of them. Weights are saved every five minutes, and --resume goes on
from those of an earlier run. Needs PyTorch, NumPy and WordNet: python3-torch, python3-numpy and wordnet-base in Debian.
"""

import argparse
import json
import math
import pathlib
import random
import re
import time
from collections import Counter, defaultdict

import numpy
import torch
import torch.nn.functional as functional

WORDNET = pathlib.Path("/usr/share/wordnet")
PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
PART_OF_SENSE = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}  # the digit after % in a sense key
PART_NAMES = {"noun": "noun", "verb": "verb", "adj": "adjective", "adv": "adverb"}

# Words that a demonstration is likely to ask for, whatever their frequency.
MORE_WORDS = """quern llama seed flour mill miller token kernel server computer bread butter milk salt sugar apple cat dog
bird fish horse tree flower river mountain ocean sun moon star rain snow fire stone gold silver iron king queen doctor
teacher student book music dance summer winter spring autumn kitchen garden bicycle train ship airplane coffee tea wine
cheese egg rice wheat corn barley oven baker memory thread cache matrix vector language model grammar sentence
dictionary""".split()

QUESTIONS = ["What does {} mean?", "What is the meaning of {}?", "Define {}.",
             "Define the word {}.", "{}?"]
GREETINGS = [
    ("Who are you?", "I am Quern's demo model. I define common words and add small numbers."),
    ("Hello!", "Hello! Ask me what a word means, or a small sum."),
    ("Hi", "Hello! Ask me what a word means, or a small sum."),
    ("What can you do?", "I define common English words, and I add, subtract and multiply small numbers."),
    ("Thanks!", "You are welcome!"),
    ("Thank you", "You are welcome!"),
]

SPECIAL_TOKENS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
# Llama 3's pre-tokenizer for ASCII, which is all that the model is trained on.
PRETOKEN = re.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}"
    r"| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Dictionary:
    """The words that the model learns: each with its commonest part of speech and the first sense of it."""

    def __init__(self, n_words):
        self.glosses = self._read_glosses()
        senses = self._read_first_senses()
        per_word, per_part = self._read_counts()

        def define(word):
            part, gloss = max(senses[word], key=lambda sense: per_part[word, sense[0]])
            return (word, part, gloss) if gloss.isascii() and 8 <= len(gloss) <= 130 else None

        ranked = [w for w, _ in per_word.most_common() if re.fullmatch("[a-z]{3,}", w) and w in senses]
        chosen = ranked[:n_words]
        more = [w for w in MORE_WORDS if w not in chosen and w in senses]
        self.entries = [entry for entry in map(define, chosen + more) if entry]
        # Rare enough that nobody is surprised that the model does not know them.
        self.unknown = ranked[n_words + 500 :]

    @staticmethod
    def _read_glosses():
        glosses = {}
        for part in PARTS_OF_SPEECH:
            for line in (WORDNET / f"data.{part}").read_text().splitlines():
                if line.startswith("  "):  # the licence
                    continue
                head, gloss = line.split(" | ", 1)
                gloss = gloss.split('; "')[0].split(";")[0].strip()
                glosses[part, head.split()[0]] = re.sub(r"^\([^)]*\)\s*", "", gloss)
        return glosses

    def _read_first_senses(self):
        senses = defaultdict(list)
        for part in PARTS_OF_SPEECH:
            for line in (WORDNET / f"index.{part}").read_text().splitlines():
                if line.startswith("  "):
                    continue
                fields = line.split()
                senses[fields[0]].append((part, self.glosses[part, fields[6 + int(fields[3])]]))
        return senses

    @staticmethod
    def _read_counts():
        """How often WordNet's tagged texts use each word, and each word as each part of speech."""
        per_word, per_part = Counter(), Counter()
        for line in (WORDNET / "cntlist.rev").read_text().splitlines():
            key, _, count = line.split()
            word, sense = key.split("%")
            per_word[word] += int(count)
            per_part[word, PART_OF_SENSE[sense[0]]] += int(count)
        return per_word, per_part


def answer(word, part, gloss):
    return f"{word.capitalize()} ({PART_NAMES[part]}): {gloss}."


def byte_characters():
    """The printable character that stands for each byte in the tokens of a byte-level BPE."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in characters)
    characters.update({byte: chr(256 + i) for i, byte in enumerate(list(others))})
    return characters


BYTE_CHARACTERS = byte_characters()


def characters_of(text):
    return [BYTE_CHARACTERS[byte] for byte in text.encode()]


def merge(symbols, pair):
    merged, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            merged.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged


def train_merges(weighted_texts, n_merges):
    """The merges of a byte-level BPE, most frequent pair first. Digits are never merged: sums go digit by digit."""
    frequency = Counter()
    for text, weight in weighted_texts:
        for word in PRETOKEN.findall(text):
            frequency[word] += weight
    words = [(characters_of(word), n) for word, n in frequency.items() if not re.search(r"\d", word)]
    pairs, places = Counter(), defaultdict(set)
    for i, (symbols, n) in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += n
            places[pair].add(i)
    merges = []
    while len(merges) < n_merges and pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges.append(best)
        for i in places[best]:
            symbols, n = words[i]
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] -= n
            symbols = merge(symbols, best)
            words[i] = (symbols, n)
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += n
                if pair != best:
                    places[pair].add(i)
        del pairs[best]
    return merges


class Tokenizer:
    def __init__(self, merges, n_vocab):
        self.merges = merges
        self.tokens = [BYTE_CHARACTERS[byte] for byte in range(256)] + [a + b for a, b in merges]
        while len(self.tokens) < n_vocab - len(SPECIAL_TOKENS):
            self.tokens.append(f"<|unused_{len(self.tokens)}|>")
        self.tokens += SPECIAL_TOKENS
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.ranks = {pair: i for i, pair in enumerate(merges)}
        self.cache = {}

    def encode(self, text):
        ids = []
        for word in PRETOKEN.findall(text):
            if word not in self.cache:
                self.cache[word] = [self.ids[symbol] for symbol in self._merge_word(word)]
            ids += self.cache[word]
        return ids

    def _merge_word(self, word):
        symbols = characters_of(word)
        while len(symbols) > 1:
            best = min(zip(symbols, symbols[1:]), key=lambda pair: self.ranks.get(pair, math.inf))
            if best not in self.ranks:
                break
            symbols = merge(symbols, best)
        return symbols


class Samples:
    """Random conversations and sums, as token ids."""

    def __init__(self, dictionary, tokenizer):
        self.dictionary = dictionary
        self.encode = tokenizer.encode
        self.bos, self.end, self.start_header, self.end_header, self.eot = (tokenizer.ids[t] for t in SPECIAL_TOKENS)

    def _message(self, role, text):
        header = [self.start_header, *self.encode(role), self.end_header, *self.encode("\n\n")]
        return [*header, *self.encode(text), self.eot]

    def _chat(self, question, reply):
        return [self.bos, *self._message("user", question), *self._message("assistant", reply)]

    def _definition(self):
        entry = random.choice(self.dictionary.entries)
        word = entry[0] if random.random() < 0.8 else entry[0].capitalize()
        return self._chat(random.choice(QUESTIONS).format(word), answer(*entry))

    def _unknown_word(self):
        word = random.choice(self.dictionary.unknown)
        return self._chat(random.choice(QUESTIONS).format(word), f"I do not know the word {word}.")

    def _sum(self):
        operator = random.choice("+-*")
        top = 12 if operator == "*" else random.choice((10, 20, 99))
        x, y = random.randint(0, top), random.randint(0, top)
        if operator == "-" and y > x:
            x, y = y, x
        result = {"+": x + y, "-": x - y, "*": x * y}[operator]
        form = random.random()
        if form < 0.4:
            question = random.choice(["What is {}?", "{}", "{} ="]).format(f"{x}{operator}{y}")
            return self._chat(question, f"{x}{operator}{y} = {result}")
        if form < 0.8:
            return [self.bos, *self.encode(f"What is {x}{operator}{y}? Answer: {result}"), self.end]
        return [self.bos, *self.encode(f"{x} {operator} {y} = {result}"), self.end]

    def one(self):
        kind = random.random()
        if kind < 0.03:
            return self._unknown_word()
        if kind < 0.74:
            return self._definition()
        if kind < 0.94:
            return self._sum()
        return self._chat(*random.choice(GREETINGS))

    def batch(self, n_rows, n_tokens):
        """[n_rows, n_tokens], each row filled with samples and the last one cut."""
        rows = []
        for _ in range(n_rows):
            row = []
            while len(row) < n_tokens:
                row += self.one()
            rows.append(row[:n_tokens])
        return torch.tensor(rows)


class Llama:
    """Llama 3: RMSNorm, grouped-query attention, RoPE on adjacent pairs, SwiGLU, tied embeddings."""

    def __init__(self, config, device, weights=None):
        self.config = config
        self.head_dim = config["dim"] // config["heads"]
        tensors = self._random_weights() if weights is None else {k: torch.from_numpy(v) for k, v in weights.items()}
        self.weights = {name: tensor.to(device).requires_grad_() for name, tensor in tensors.items()}
        exponents = torch.arange(0, self.head_dim, 2, dtype=torch.float64) / self.head_dim
        angles = torch.outer(torch.arange(2048, dtype=torch.float64), config["theta"] ** -exponents)
        self.cos, self.sin = angles.cos().float().to(device), angles.sin().float().to(device)

    def _random_weights(self):
        c = self.config
        kv_width = c["kv_heads"] * self.head_dim
        shapes = {
            "attn_q": (c["dim"], c["dim"]),
            "attn_k": (kv_width, c["dim"]),
            "attn_v": (kv_width, c["dim"]),
            "attn_output": (c["dim"], c["dim"]),
            "ffn_gate": (c["ffn"], c["dim"]),
            "ffn_up": (c["ffn"], c["dim"]),
            "ffn_down": (c["dim"], c["ffn"]),
        }
        weights = {"token_embd.weight": torch.randn(c["vocab"], c["dim"]) * 0.02, "output_norm.weight": torch.ones(c["dim"])}
        for layer in range(c["layers"]):
            prefix = f"blk.{layer}."
            weights[prefix + "attn_norm.weight"] = torch.ones(c["dim"])
            weights[prefix + "ffn_norm.weight"] = torch.ones(c["dim"])
            for name, shape in shapes.items():
                # What is added to the residual stream starts smaller, the more often that happens.
                scale = 0.02 / math.sqrt(2 * c["layers"]) if name in ("attn_output", "ffn_down") else 0.02
                weights[f"{prefix}{name}.weight"] = torch.randn(shape) * scale
        return weights

    @staticmethod
    def _linear(x, weight):
        return (x.bfloat16() @ weight.bfloat16().t()).float()

    @staticmethod
    def _norm(x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight

    def _rope(self, x):
        """x: [batch, heads, tokens, head_dim]"""
        cos, sin = self.cos[: x.shape[2]], self.sin[: x.shape[2]]
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)

    def _attention(self, x, bias, prefix):
        c = self.config
        n_batch, n_tokens, _ = x.shape

        def heads(name, n_heads):
            y = self._linear(x, self.weights[f"{prefix}{name}.weight"])
            return y.view(n_batch, n_tokens, n_heads, self.head_dim).transpose(1, 2)

        group = c["heads"] // c["kv_heads"]
        q = self._rope(heads("attn_q", c["heads"]))
        k = self._rope(heads("attn_k", c["kv_heads"])).repeat_interleave(group, 1)
        v = heads("attn_v", c["kv_heads"]).repeat_interleave(group, 1)
        scores = (q.bfloat16() @ k.bfloat16().transpose(-1, -2)).float() / math.sqrt(self.head_dim) + bias
        mixed = (scores.softmax(-1).bfloat16() @ v.bfloat16()).float()
        mixed = mixed.transpose(1, 2).reshape(n_batch, n_tokens, c["dim"])
        return self._linear(mixed, self.weights[prefix + "attn_output.weight"])

    def _feed_forward(self, x, prefix):
        gate = self._linear(x, self.weights[prefix + "ffn_gate.weight"])
        up = self._linear(x, self.weights[prefix + "ffn_up.weight"])
        return self._linear(functional.silu(gate) * up, self.weights[prefix + "ffn_down.weight"])

    def logits(self, tokens, bos):
        """tokens: [batch, tokens]; attention never crosses a `bos`. Positions run on across it, which changes nothing:
        RoPE is relative."""
        n_tokens = tokens.shape[1]
        segment = (tokens == bos).cumsum(1)
        past = torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=tokens.device).tril()
        seen = (segment[:, :, None] == segment[:, None, :]) & past
        bias = torch.zeros_like(seen, dtype=torch.float32).masked_fill(~seen, -1e30)[:, None]
        x = self.weights["token_embd.weight"][tokens]
        for layer in range(self.config["layers"]):
            prefix = f"blk.{layer}."
            x = x + self._attention(self._norm(x, self.weights[prefix + "attn_norm.weight"]), bias, prefix)
            x = x + self._feed_forward(self._norm(x, self.weights[prefix + "ffn_norm.weight"]), prefix)
        return self._linear(self._norm(x, self.weights["output_norm.weight"]), self.weights["token_embd.weight"])

    def save(self, path):
        numpy.savez(path, **{name: tensor.detach().cpu().numpy() for name, tensor in self.weights.items()})


def learning_rate(peak, step, share):
    """Warm up for 100 steps, hold for half of the time, then fall linearly to a fiftieth."""
    return peak * min(1, (step + 1) / 100) * (1 if share < 0.5 else max(0.02, (1 - share) / 0.5))


def train(model, samples, arguments, save):
    optimizer = torch.optim.AdamW(model.weights.values(), lr=arguments.lr, betas=(0.9, 0.95), weight_decay=0.01)
    start = saved = time.time()
    step = 0
    while (share := (time.time() - start) / (arguments.minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(arguments.lr, step, share)
        batch = samples.batch(arguments.batch, arguments.ctx + 1).to(arguments.device)
        logits = model.logits(batch[:, :-1], samples.bos)
        loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.weights.values(), 1.0)
        optimizer.step()
        step += 1
        if step % 20 == 0:
            print(f"step {step}, loss {loss.item():.4f}, {time.time() - start:.0f} s", flush=True)
        if time.time() - saved > 300:
            save()
            saved = time.time()
    save()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=80)
    parser.add_argument("--words", type=int, default=3000, help="most frequent words to learn")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--resume", type=pathlib.Path, help="folder of an earlier run to go on from")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--ffn", type=int, default=768)
    parser.add_argument("--vocab", type=int, default=3072)
    parser.add_argument("--ctx", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    random.seed(7)
    torch.manual_seed(7)
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)

    dictionary = Dictionary(arguments.words)
    weights = None
    if arguments.resume:
        old = json.loads((arguments.resume / "tokenizer.json").read_text())
        merges = [tuple(pair.split(" ")) for pair in old["merges"]]
        weights = dict(numpy.load(arguments.resume / "weights.npz"))
    else:
        texts = [(answer(*entry), 20) for entry in dictionary.entries]
        texts += [(question.format(entry[0]), 2) for entry in dictionary.entries for question in QUESTIONS]
        texts += [(gloss, 1) for gloss in list(dictionary.glosses.values())[::6] if gloss.isascii()]
        texts += [(f"{question} {reply}", 50) for question, reply in GREETINGS]
        texts += [("user\n\nassistant\n\nsystem\n\n Answer:", 1000)]
        merges = train_merges(texts, arguments.vocab - 256 - len(SPECIAL_TOKENS))
    tokenizer = Tokenizer(merges, arguments.vocab)
    config = {
        "dim": arguments.dim,
        "layers": arguments.layers,
        "heads": arguments.heads,
        "kv_heads": arguments.kv_heads,
        "ffn": arguments.ffn,
        "vocab": arguments.vocab,
        "theta": 500000.0,
    }
    (arguments.out / "config.json").write_text(json.dumps(config))
    (arguments.out / "tokenizer.json").write_text(
        json.dumps({
            "tokens": tokenizer.tokens,
            "merges": [" ".join(pair) for pair in merges],
            "special": SPECIAL_TOKENS,
            "words": dictionary.entries,
        })
    )
    print(f"{len(dictionary.entries)} words, {len(merges)} merges", flush=True)
    model = Llama(config, arguments.device, weights)
    train(model, Samples(dictionary, tokenizer), arguments, lambda: model.save(arguments.out / "weights.npz"))


if __name__ == "__main__":
    main()
