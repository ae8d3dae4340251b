#!/usr/bin/env node
// Checks Quern against the usual figure of CPU inference: 8 tok/s for Llama-3.1-8B Q4_K_M with 4 threads.
// usage: bench/baseline.mjs MODEL.gguf [-t THREADS] [-n ANSWER_TOKENS] [-r ROUNDS] [--expect TOK_PER_S]
// Measures decode and reading memory with 1 thread, 2 and so on, as far as this machine has CPUs for them, prints both
// as a Markdown table, and predicts 4 and 8 threads. Exit code 1 if the rate that is expected is not reached.
import {execFileSync} from 'node:child_process';
import {availableParallelism} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {fail, printTable, readOptions, wholeNumber} from './measuring.mjs';

function readArguments() {
  const {values, positionals} = readOptions({threads: ['t', 4], tokens: ['n', 50], rounds: ['r', 5], expect: ['', 8]});
  if (positionals.length !== 1) fail('one MODEL.gguf is needed');
  const expect = Number(values.expect);
  if (!(expect > 0)) fail(`--expect is '${values.expect}', expected a number above 0`);
  return {
    model: positionals[0], expect,
    threads: wholeNumber('threads', values.threads, 1),
    tokens: wholeNumber('tokens', values.tokens, 1),
    rounds: wholeNumber('rounds', values.rounds, 1),
  };
}

/** A row of `quern bench` for each number of threads up to `mostThreads`. */
function measure({model, tokens, rounds}, mostThreads) {
  const quern = join(dirname(fileURLToPath(import.meta.url)), '../build/release/tools/quern');
  const threads = Array.from({length: mostThreads}, (_, i) => i + 1).join(',');
  const flags = ['bench', '-m', model, '-p', 0, '-n', tokens, '-t', threads, '-r', rounds, '-o', 'json'];
  try {
    const text = execFileSync(quern, flags.map(String), {encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']});
    return JSON.parse(text).map((row) => ({
      threads: row.threads, rate: row.median_tokens_per_second, limit: row.limit_tokens_per_second,
      readBytes: row.read_bytes_per_second, tokenBytes: row.read_bytes_per_second / row.limit_tokens_per_second,
    }));
  } catch (error) {
    fail(`'quern bench' failed: ${error.message.split('\n')[0]}`);
  }
}

/**
 * tok/s with `threads`: memory's rate over the bytes of a token, times the share of it that decode reached with the
 * most threads measured. Beyond those, memory gives at least what it gave them, and at most every core's own rate.
 */
function predict(rows, threads) {
  const measured = rows.find((row) => row.threads === threads);
  if (measured) return `${measured.rate.toFixed(2)} (measured)`;
  const most = rows.at(-1);
  const share = most.rate / most.limit;
  const rateOf = (readBytes) => (readBytes / most.tokenBytes * share).toFixed(2);
  const gigabytes = (bytes) => (bytes / 1e9).toFixed(1);
  const [least, best] = [most.readBytes, Math.max(most.readBytes, threads * rows[0].readBytes)];
  return `${rateOf(least)} to ${rateOf(best)} (${(100 * share).toFixed(0)}% of ${gigabytes(least)} to ` +
    `${gigabytes(best)} GB/s; ${gigabytes(most.tokenBytes)} GB a token)`;
}

const settings = readArguments();
const rows = measure(settings, Math.min(settings.threads, availableParallelism()));
printTable(['threads', 'reading memory, GB/s', 'limit, tok/s', 'decode, tok/s', 'of the limit'], rows.map((row) => [
  row.threads, (row.readBytes / 1e9).toFixed(1), row.limit.toFixed(2), row.rate.toFixed(2),
  `${(100 * row.rate / row.limit).toFixed(0)}%`,
]), /*numbersOnly=*/ true);
console.log();
for (const threads of [4, 8]) console.log(`${threads} threads: ${predict(rows, threads)} tok/s`);
const {threads, rate, limit} = rows.at(-1);
const passed = rate >= settings.expect;
const why = passed || limit >= settings.expect ? '' : `; this machine's memory allows ${limit.toFixed(2)}`;
console.log(`${passed ? 'pass' : 'fail'}: ${rate.toFixed(2)} tok/s with ${threads} threads, expected ` +
  `${settings.expect}${why}`);
process.exitCode = passed ? 0 : 1;
