#!/usr/bin/env python3
"""Measures how many answers of the demo model are exactly right: every word, and sums. Greedy, through `quern batch`.

usage: accuracy.py QUERN [MODEL.gguf]     QUERN is the executable; without MODEL it uses the model built into it.
"""

import json
import pathlib
import subprocess
import sys

PART_OF_SPEECH = {"noun": "noun", "verb": "verb", "adj": "adjective", "adv": "adverb"}


def chat(question):
    return {"messages": [{"role": "user", "content": question}]}


def cases():
    """Yields (what is measured, request, the right answer)."""
    tokenizer = json.loads(pathlib.Path(__file__).with_name("tokenizer.json").read_text())
    for word, part_of_speech, definition in tokenizer["words"]:
        answer = f"{word.capitalize()} ({PART_OF_SPEECH[part_of_speech]}): {definition}."
        yield "What does WORD mean?", chat(f"What does {word} mean?"), answer
    for x in range(21):
        for y in range(x + 1):
            yield "What is X+Y? Answer: (up to 20)", {"prompt": f"What is {x}+{y}? Answer:"}, f" {x + y}"
    for x in range(0, 100, 9):
        for y in range(0, 100, 9):
            yield "chat: What is X+Y? (up to 99)", chat(f"What is {x}+{y}?"), f"{x}+{y} = {x + y}"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    questions = list(cases())
    requests = "".join(json.dumps(request) + "\n" for _, request, _ in questions)
    command = [sys.argv[1], "batch", "--file", "-", "-n", "80", "--temp", "0", *sys.argv[2:]]
    run = subprocess.run(command, input=requests, stdout=subprocess.PIPE, text=True, check=True)
    results = [json.loads(line) for line in run.stdout.splitlines()]
    if len(results) != len(questions):
        sys.exit(f"error: {len(questions)} questions, but {len(results)} answers")

    right, total = {}, {}
    for (kind, request, answer), result in zip(questions, results):
        total[kind] = total.get(kind, 0) + 1
        right[kind] = right.get(kind, 0) + (result["text"] == answer)
        if result["text"] != answer:
            print(f"wrong: {json.dumps(request)}: {result['text']!r}, expected {answer!r}")
    for kind in total:
        print(f"{kind}: {right[kind]} of {total[kind]} exactly right")


if __name__ == "__main__":
    main()
