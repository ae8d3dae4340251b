#!/usr/bin/env node
// Compares Quern with llama.cpp on a GGUF file: fetches llama.cpp, builds both, and times them in turns.
// usage: bench/peers.mjs MODEL.gguf [-p PROMPT_TOKENS] [-n ANSWER_TOKENS] [-d DEPTH] [-b SEQUENCES,...] [-r ROUNDS]
//                        [-t THREADS]
// Prints medians and their ratios as a Markdown table. Both sides have the model in memory all the time, and a turn is
// one prompt or one answer: seconds, as the speed of a shared machine changes within a minute.
import {execFileSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {dirname, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Measurer, fail, median, printTable, readOptions, show, takeTurns, wholeNumber, wholeNumbers} from './measuring.mjs';

function readArguments() {
  const {values, positionals} = readOptions({
    prompt: ['p', 512], answer: ['n', 64], depth: ['d', 0], sequences: ['b', 1], rounds: ['r', 5],
    threads: ['t', availableParallelism()],
  });
  if (positionals.length !== 1) fail('one MODEL.gguf is needed');
  if (!existsSync(positionals[0])) fail(`no file ${positionals[0]}`);
  return {
    model: resolve(positionals[0]),
    prompt: wholeNumber('prompt', values.prompt, 0),
    answer: wholeNumber('answer', values.answer, 0),
    depth: wholeNumber('depth', values.depth, 0),
    sequences: wholeNumbers('sequences', values.sequences, 1),
    rounds: wholeNumber('rounds', values.rounds, 1),
    threads: wholeNumber('threads', values.threads, 1),
  };
}

const options = readArguments();
process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
const quiet = {stdio: ['ignore', 'ignore', 'inherit']};
execFileSync('tools/setup/install.sh', ['build', 'test'], quiet);
execFileSync('tools/setup/fetch-peers.sh', [], quiet);
execFileSync('cmake', ['--preset', 'release', '--log-level=WARNING'], quiet);
execFileSync('cmake', ['--build', '--preset', 'release', '--target', 'quern', 'llama_peer'], quiet);

const {prompt, answer, depth, sequences, rounds} = options;
const at = depth > 0 ? ` at depth ${depth}` : '';
const measurements = [  // the number of Quern's row is that here
  ...(prompt > 0 ? [{name: `prefill of ${prompt}${at}, tok/s`, line: `prompt ${prompt}`}] : []),
  ...(answer > 0 ? sequences : []).map((count) => ({
    name: `decode of ${answer}${count > 1 ? ` by ${count} sequences` : ''}${at}, tok/s`, line: `decode ${answer} ${count}`,
  })),
];
const threads = ['-t', options.threads];
const quern = await Measurer.start('build/release/tools/quern', [
  'bench', options.model, '-p', prompt, '-n', answer, '-d', depth, '-b', sequences.join(','), '-r', 1,
  '-o', 'jsonl', '--turns', ...threads,
]);
const llamaCpp = await Measurer.start('build/release/tests/peer/llama_peer', [
  'bench', options.model, '-d', depth, '-c', depth + Math.max(prompt, answer) + 64, ...threads,
]);

const table = [];
let last;
for (const [index, {name, line}] of measurements.entries()) {
  const sides = {ours: () => quern.ask(index), theirs: () => llamaCpp.ask(line)};
  await takeTurns(sides, 1);  // warms up
  const {ours, theirs} = await takeTurns(sides, rounds);
  const reached = median(ours.map((row) => row.median_tokens_per_second));
  const peer = median(theirs.map((row) => row.tokens_per_second));
  const share = median(ours.map((row) => row.median_tokens_per_second / row.limit_tokens_per_second));
  table.push([name, show(reached, 2), show(peer, 2), show(reached / peer, 2), `${show(100 * share, 0)}%`]);
  last = {ours: ours.at(-1), theirs: theirs.at(-1)};
  console.error(table.at(-1).join('  '));
}
const load = [last.ours.load_seconds, llamaCpp.first.load_seconds];
const memory = [last.ours, last.theirs].map((row) => row.peak_rss_bytes / 1e9);
for (const [name, [reached, peer]] of [['load, s', load], ['peak memory, GB', memory]]) {
  table.push([name, show(reached, 2), show(peer, 2), show(reached / peer, 2), '']);
}
await quern.stop();
await llamaCpp.stop();
printTable(['', 'Quern', 'llama.cpp', 'ratio', "of the machine's limit"], table);
