#!/usr/bin/env node
// Compares Quern with llama.cpp on a GGUF file: fetches llama.cpp, builds both, and times them in turns.
// usage: bench/peers.mjs MODEL.gguf [-p PROMPT_TOKENS] [-n ANSWER_TOKENS] [-d DEPTH] [-r ROUNDS] [-t THREADS]
// Prints medians and their ratios as a Markdown table. Both sides load the model anew in every round, and who begins
// alternates, so that a busy neighbour or a warm cache favours neither.
import {execFileSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {dirname, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

function readArguments() {
  const number = (short, fallback) => ({type: 'string', short, default: String(fallback)});
  const options = {
    prompt: number('p', 512), answer: number('n', 64), depth: number('d', 0), rounds: number('r', 5),
    threads: number('t', 0),
  };
  let parsed;
  try {
    parsed = parseArgs({options, allowPositionals: true});
  } catch (error) {
    fail(error.message);
  }
  if (parsed.positionals.length !== 1) fail('one MODEL.gguf is needed');
  const numbers = Object.fromEntries(Object.entries(parsed.values).map(([name, text]) => [name, Number(text)]));
  for (const [name, value] of Object.entries(numbers)) {
    if (!Number.isInteger(value) || value < 0) fail(`--${name} is '${parsed.values[name]}', expected a whole number`);
  }
  if (numbers.rounds < 1) fail('--rounds is 0, expected at least 1');
  return {model: parsed.positionals[0], ...numbers};
}

/** What each side measures once, under the same names. */
function measureQuern({model, prompt, answer, depth, threads}) {
  const flags = ['bench', '-m', model, '-p', prompt, '-n', answer, '-d', depth, '-r', 1, '-o', 'json'];
  if (threads > 0) flags.push('-t', threads);
  const rows = JSON.parse(output('build/release/tools/quern', flags));
  const speed = (kind) => rows.find((row) => row.test.startsWith(kind))?.median_tokens_per_second;
  return {
    load: rows[0].load_seconds, memory: rows[0].peak_rss_bytes, prefill: speed('pp'), decode: speed('tg'),
    bandwidth: rows[0].read_bytes_per_second, decodeBandwidth: rows.at(-1).weight_bytes_per_second,
  };
}

function measureLlamaCpp({model, prompt, answer, depth, threads}) {
  const flags = ['bench', model, '-p', prompt, '-n', answer, '-d', depth, '-r', 1];
  if (threads > 0) flags.push('-t', threads);
  const result = JSON.parse(output('build/release/tests/peer/llama_peer', flags));
  return {
    load: result.load_s, memory: result.peak_rss_bytes, prefill: result.prefill_tps?.[0], decode: result.decode_tps?.[0],
  };
}

function output(program, flags) {
  return execFileSync(program, flags.map(String), {encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']});
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function printTable(options, quern, llamaCpp) {
  const at = options.depth > 0 ? ` at depth ${options.depth}` : '';
  const rows = [
    [`prefill of ${options.prompt}${at}, tok/s`, 'prefill', 1],
    [`decode of ${options.answer}${at}, tok/s`, 'decode', 1],
    ['load, s', 'load', 1],
    ['peak memory, GB', 'memory', 1e9],
  ];
  console.log('| | Quern | llama.cpp | ratio |\n|---|---:|---:|---:|');
  for (const [name, key, unit] of rows) {
    const [ours, theirs] = [quern, llamaCpp].map((rounds) => median(rounds.map((round) => round[key])));
    if (ours === undefined || theirs === undefined) continue;
    console.log(`| ${name} | ${(ours / unit).toFixed(2)} | ${(theirs / unit).toFixed(2)} | ${(ours / theirs).toFixed(2)} |`);
  }
  if (options.answer > 0) {
    const share = median(quern.map((round) => round.decodeBandwidth / round.bandwidth));
    const gigabytes = median(quern.map((round) => round.bandwidth)) / 1e9;
    console.log(`\nQuern's decode reads weights at ${(100 * share).toFixed(0)}% of the rate at which this machine only ` +
        `reads them (${gigabytes.toFixed(1)} GB/s).`);
  }
}

const options = readArguments();
if (!existsSync(options.model)) fail(`no file ${options.model}`);
const model = resolve(options.model);
process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
const quiet = {stdio: ['ignore', 'ignore', 'inherit']};
execFileSync('tools/setup/install.sh', ['build', 'test'], quiet);
execFileSync('tools/setup/fetch-peers.sh', [], quiet);
execFileSync('cmake', ['--preset', 'release', '--log-level=WARNING'], quiet);
execFileSync('cmake', ['--build', '--preset', 'release', '--target', 'quern', 'llama_peer'], quiet);

const sides = [{measure: measureQuern, rounds: []}, {measure: measureLlamaCpp, rounds: []}];
for (let round = 0; round < options.rounds; ++round) {
  for (const side of round % 2 === 0 ? sides : [...sides].reverse()) {
    side.rounds.push(side.measure({...options, model}));
  }
  console.error(`round ${round + 1} of ${options.rounds}`);
}
printTable(options, sides[0].rounds, sides[1].rounds);
