// Drives tools/check-tests.sh over small trees.
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';

const script = fileURLToPath(new URL('../../tools/check-tests.sh', import.meta.url));

// What the script says of a tree of these files, path to text, beside empty folders.
function check(files) {
  const root = mkdtempSync(join(tmpdir(), 'quern-tests-'));
  try {
    for (const folder of ['gguf', 'kernels', 'runtime', 'server', 'tools', 'tests']) mkdirSync(join(root, folder));
    for (const [path, text] of Object.entries({'tests/untested.txt': '', ...files})) {
      mkdirSync(dirname(join(root, path)), {recursive: true});
      writeFileSync(join(root, path), text);
    }
    const {status, stdout} = spawnSync(script, [root], {encoding: 'utf8'});
    assert.equal(status === 0, stdout === '');
    return stdout;
  } finally {
    rmSync(root, {recursive: true});
  }
}

test('a source has a test, or a reason', () => {
  const says = 'gguf/base/a.cc has no test: write tests/gguf/base/a_test.cc, or name it in tests/untested.txt with what tests it\n';
  assert.equal(check({'gguf/base/a.cc': ''}), says);
  assert.equal(check({'gguf/base/a.cc': '', 'tests/gguf/a_test.cc': ''}), says);
  assert.equal(check({'gguf/base/a.cc': '', 'tests/gguf/base/a_test.cc': ''}), '');
  assert.equal(check({'gguf/base/a.cc': '', 'tests/gguf/base/a_test.mjs': ''}), '');
  assert.equal(check({'gguf/base/a.cc': '', 'tests/untested.txt': '# Why\n\ngguf/base/a.cc  b_test reads it\n'}), '');
});

test('so has a header with code, and no other', () => {
  const code = 'inline int One() { return 1; }\n';
  assert.match(check({'runtime/a.h': code}), /^runtime\/a\.h has no test: /);
  assert.equal(check({'runtime/a.h': 'struct A {\n  int n = 0;\n};\nint One();\n'}), '');
  assert.equal(check({'runtime/a.h': code, 'runtime/a.cc': '', 'tests/runtime/a_test.cc': ''}), '');
  assert.match(check({'kernels/a-inl.h': ''}), /^kernels\/a-inl\.h has no test: write tests\/kernels\/a_test\.cc/);
});

test('the list is true', () => {
  const listed = (text) => check({'tools/a.cc': '', 'tests/untested.txt': text});
  assert.match(listed('tools/a.cc\n'), /tools\/a\.cc has no reason behind it/);
  assert.match(listed('tools/a.cc  why\ntools/a.cc  why\n'), /tools\/a\.cc is there twice/);
  assert.match(listed('tools/a.cc  why\ntools/b.cc  why\n'), /tools\/b\.cc is gone, or has no code: take the line out/);
  assert.match(check({'tools/a.cc': '', 'tests/tools/a_test.cc': '', 'tests/untested.txt': 'tools/a.cc  why\n'}),
               /tools\/a\.cc has a test, tests\/tools\/a_test\.cc: take the line out/);
});
