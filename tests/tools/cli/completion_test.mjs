// `quern completion` in the shells themselves; each is skipped where it is not installed.
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';
import {after, test} from 'node:test';

const quern = process.env.QUERN_EXECUTABLE;

const folder = mkdtempSync(join(tmpdir(), 'quern-completion-'));
after(() => rmSync(folder, {recursive: true}));
mkdirSync(join(folder, 'models'));
for (const name of ['a.gguf', 'b.txt', 'models/c.gguf']) writeFileSync(join(folder, name), '');

function run(program, args, input = '') {
  const {status, stdout, stderr, error} = spawnSync(program, args, {cwd: folder, encoding: 'utf8', input, timeout: 60_000});
  assert.equal(status, 0, `${program}: ${error ?? stderr}`);
  return stdout;
}

/** A skip's reason, or false. */
const missing = (shell) => spawnSync(shell, ['--version']).error ? `${shell} is not installed` : false;

function script(shell) {
  const path = join(folder, shell === 'zsh' ? '_quern' : `quern.${shell}`);
  writeFileSync(path, run(quern, ['completion', shell]));
  return path;
}

// A command line up to the cursor, what must be offered there, and what must not be.
const cases = [
  ['quern se', ['serve'], ['run']],
  ['quern key ', ['new'], ['serve']],
  ['quern key new -', ['--rate', '--file'], ['--port']],
  ['quern run --lo', ['--load', '--logit-bias'], ['--log-file']],
  ['quern run --load ', ['mmap', 'pack'], ['a.gguf', 'serve']],
  ['quern run -ctk q', ['q8_0'], ['f16']],
  ['quern serve --log-level w', ['warning'], ['debug']],
  ['quern quantize a.gguf b.gguf Q8', ['Q8_0'], ['Q4_0']],
  ['quern run -m ', ['a.gguf', 'models'], ['mmap']],
  ['quern serve models/', ['c.gguf'], ['run']],
  ['quern run -f b', ['b.txt'], ['a.gguf']],
  ['quern list --cache-dir ', ['models'], ['a.gguf']],
  ['quern run -n ', [], ['a.gguf', 'b.txt', 'models']],
  ['quern completion ', ['bash', 'fish', 'zsh'], ['a.gguf']],
];

function check(offer) {
  for (const [line, wanted, unwanted] of cases) {
    const words = offer(line).map((word) => basename(word));  // zsh shows no more of a path
    for (const word of wanted) assert.ok(words.includes(word), `'${line}' offers ${words}, not ${word}`);
    for (const word of unwanted) assert.ok(!words.includes(word), `'${line}' offers ${word}`);
  }
}

test('bash', {skip: missing('bash')}, () => {
  const path = script('bash');
  const offer = (words) => run('bash', ['--norc', '-c', `
    compopt() { :; }  # which works in a completion alone
    source "$0"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _quern
    printf '%s\\n' "\${COMPREPLY[@]}"`, path, ...words]).split('\n').filter(Boolean);
  check((line) => offer(line.split(' ')));
  assert.deepEqual(offer(['quern', 'run', '--load', '=', 'p']), ['pack']);
  assert.deepEqual(offer(['quern', 'run', '--load', '=']), ['mmap', 'pack']);
  assert.ok(!offer(['quern', 'serve', '']).includes('b.txt'));
});

test('fish', {skip: missing('fish')}, () => {
  const path = script('fish');
  run('fish', ['--no-execute', path]);
  check((line) => run('fish', ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', path, line])
    .split('\n').filter(Boolean).map((row) => row.split('\t')[0]));
});

test('zsh', {skip: missing('zsh')}, () => {
  const path = script('zsh');
  run('zsh', ['-f', '-n', path]);
  // Listed in a terminal of its own, between its prompt and a mark.
  const offer = (line) => run('zsh', ['-f', '-c', `
    zmodload zsh/zpty
    zpty shell zsh -f -i
    zpty -w shell 'stty columns 200 rows 500; fpath=($PWD $fpath); autoload -U compinit; compinit -u -D'
    zpty -w shell 'zstyle ":completion:*" list-colors "" ; setopt no_auto_menu no_list_ambiguous no_beep; LISTMAX=9999'
    zpty -w shell 'bindkey "^T" list-choices; PS1="READ""Y "'
    zpty -r shell out '*READY*'
    zpty -w -n shell "$1"$'\\x14'
    zpty -w -n shell $'\\x15print EN""DED\\n'
    zpty -r shell out '*ENDED*'
    print -r -- $out`, 'zsh', line]);
  const controls = /\x1b\[[?0-9;]*[a-zA-Z]/g;
  check((line) => offer(line).replace(controls, ' ').split(/\s+/));
});
