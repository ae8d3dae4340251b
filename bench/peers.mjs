#!/usr/bin/env node
// Compares Quern with llama.cpp on a GGUF file: fetches llama.cpp, builds both, and times them in turns.
// usage: bench/peers.mjs MODEL.gguf [-p PROMPT_TOKENS] [-n ANSWER_TOKENS] [-d DEPTH] [-b SEQUENCES,...] [-r ROUNDS]
//                        [-t THREADS]
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
    threads: number('t', 0), sequences: {type: 'string', short: 'b', default: '1'},
  };
  let parsed;
  try {
    parsed = parseArgs({options, allowPositionals: true});
  } catch (error) {
    fail(error.message);
  }
  if (parsed.positionals.length !== 1) fail('one MODEL.gguf is needed');
  const wholeNumber = (name, text, least) => {
    if (!/^[0-9]+$/.test(text) || Number(text) < least) {
      fail(`--${name} is '${text}', expected a whole number of at least ${least}`);
    }
    return Number(text);
  };
  const {sequences, ...single} = parsed.values;
  const numbers = Object.entries(single).map(([name, text]) => [name, wholeNumber(name, text, name === 'rounds' ? 1 : 0)]);
  return {
    model: parsed.positionals[0], ...Object.fromEntries(numbers),
    sequences: sequences.split(',').map((text) => wholeNumber('sequences', text, 1)),
  };
}

/** What each side measures once, under the same names; of ours also the share of what the machine allows. */
function measureQuern({model, prompt, answer, depth, threads, sequences}) {
  const flags = [
    'bench', '-m', model, '-p', prompt, '-n', answer, '-d', depth, '-b', sequences.join(','), '-r', 1, '-o', 'json',
  ];
  if (threads > 0) flags.push('-t', threads);
  const rows = JSON.parse(output('build/release/tools/quern', flags));
  const results = {load: rows[0].load_seconds, memory: rows[0].peak_rss_bytes, shares: {}};
  for (const row of rows) {
    const name = row.test.startsWith('pp') ? 'prefill' : `decode ${row.sequences}`;
    results[name] = row.median_tokens_per_second;
    results.shares[name] = row.median_tokens_per_second / row.limit_tokens_per_second;
  }
  return results;
}

function measureLlamaCpp({model, prompt, answer, depth, threads, sequences}) {
  const measure = (promptTokens, answerTokens, count) => {
    const flags = ['bench', model, '-p', promptTokens, '-n', answerTokens, '-d', depth, '-r', 1, '--sequences', count];
    if (threads > 0) flags.push('-t', threads);
    return JSON.parse(output('build/release/tests/peer/llama_peer', flags));
  };
  const alone = measure(prompt, sequences.includes(1) ? answer : 0, 1);
  const results = {load: alone.load_s, memory: alone.peak_rss_bytes, prefill: alone.prefill_tps?.[0]};
  for (const count of answer > 0 ? sequences : []) {
    results[`decode ${count}`] = (count === 1 ? alone : measure(0, answer, count)).decode_tps?.[0];
  }
  return results;
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
    ...options.sequences.map((count) => [
      `decode of ${options.answer}${count > 1 ? ` by ${count} sequences` : ''}${at}, tok/s`, `decode ${count}`, 1,
    ]),
    ['load, s', 'load', 1],
    ['peak memory, GB', 'memory', 1e9],
  ];
  console.log("| | Quern | llama.cpp | ratio | of the machine's limit |\n|---|---:|---:|---:|---:|");
  for (const [name, key, unit] of rows) {
    const [ours, theirs] = [quern, llamaCpp].map((rounds) => median(rounds.map((round) => round[key])));
    if (ours === undefined || theirs === undefined) continue;
    const share = median(quern.map((round) => round.shares[key]));
    const cells = [name, (ours / unit).toFixed(2), (theirs / unit).toFixed(2), (ours / theirs).toFixed(2)];
    console.log(`| ${[...cells, share === undefined ? '' : `${(100 * share).toFixed(0)}%`].join(' | ')} |`);
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
