// What `cmake --install` lays where, from the build that the executable is of.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, readdirSync, rmSync, statSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join, relative} from 'node:path';
import {after, test} from 'node:test';

const build = dirname(dirname(process.env.QUERN_EXECUTABLE));
const prefix = mkdtempSync(join(tmpdir(), 'quern-prefix-'));
after(() => rmSync(prefix, {recursive: true}));

const files = (folder) => readdirSync(folder).flatMap((name) => {
  const path = join(folder, name);
  return statSync(path).isDirectory() ? files(path) : [relative(prefix, path)];
});

test('the program, its manual page, completion and documents are installed, and nothing else', () => {
  execFileSync('cmake', ['--install', build, '--prefix', prefix, '--strip']);
  assert.deepEqual(files(prefix).sort(), [
    'bin/quern',
    'share/bash-completion/completions/quern',
    'share/doc/quern/CONTRIBUTING.md',
    'share/doc/quern/README.md',
    'share/doc/quern/bench/README.md',
    'share/doc/quern/kernels/NOTES.md',
    'share/doc/quern/runtime/README.md',
    'share/doc/quern/server/README.md',
    'share/doc/quern/server/SIGNATURES.md',
    'share/doc/quern/tools/README.md',
    'share/doc/quern/tools/demo_model/README.md',
    'share/doc/quern/tools/demo_model/chat.svg',
    'share/doc/quern/tools/hub/README.md',
    'share/doc/quern/tools/monitoring/README.md',
    'share/doc/quern/tools/monitoring/alerts.yml',
    'share/doc/quern/tools/monitoring/alerts_test.yml',
    'share/doc/quern/tools/monitoring/grafana-dashboard.json',
    'share/doc/quern/tools/monitoring/prometheus.yml',
    'share/fish/vendor_completions.d/quern.fish',
    'share/man/man1/quern.1',
    'share/quern/WORDNET-LICENSE',
    'share/quern/default.rules',
    'share/zsh/site-functions/_quern',
  ]);
  const quern = join(prefix, 'bin/quern');
  assert.match(execFileSync(quern, ['--version'], {encoding: 'utf8'}), /^quern \d+\.\d+\.\d+\n$/);
  for (const [path, args] of [
    ['share/man/man1/quern.1', ['man']],
    ['share/bash-completion/completions/quern', ['completion', 'bash']],
    ['share/zsh/site-functions/_quern', ['completion', 'zsh']],
    ['share/fish/vendor_completions.d/quern.fish', ['completion', 'fish']],
  ]) {
    assert.equal(readFileSync(join(prefix, path), 'utf8'), execFileSync(quern, args, {encoding: 'utf8'}));
  }
});
