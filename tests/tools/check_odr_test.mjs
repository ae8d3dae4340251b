// Drives tools/check-odr.sh over small trees: what it refuses, and what only looks like it.
import assert from 'node:assert';
import {spawnSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import test from 'node:test';
import {fileURLToPath} from 'node:url';

const script = fileURLToPath(new URL('../../tools/check-odr.sh', import.meta.url));

// What the script says of a tree of these files, path to text.
function check(files) {
  const root = mkdtempSync(join(tmpdir(), 'quern-odr-'));
  try {
    for (const folder of ['gguf', 'kernels', 'runtime', 'server', 'tools', 'bench', 'tests']) mkdirSync(join(root, folder));
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), {recursive: true});
      writeFileSync(join(root, path), text);
    }
    const {status, stdout} = spawnSync(script, [root], {encoding: 'utf8'});
    return {fails: status !== 0, says: stdout};
  } finally {
    rmSync(root, {recursive: true});
  }
}

const inQuern = (text) => `namespace quern {\n${text}\n}  // namespace quern\n`;

test('a type that two files define', () => {
  const answer = inQuern('/// "One".\nstruct Answer {\n  int n;\n};');
  const {fails, says} = check({'server/api/answer.h': answer, 'tools/options/session.h': answer});
  assert(fails);
  assert.match(says, /^quern::Answer is defined in more than one file:\n {2}server\/api\/answer\.h:3\n {2}tools\/options\/session\.h:3\n/);
});

for (const [what, text] of Object.entries({
  'a class with a base': 'class Writer final : public Base {};',
  'an enumeration': 'enum class Phase : uint8_t { kOne };',
  'a class template': 'template <typename T, std::enable_if_t<(sizeof(T) > 1), int> = 0>\nstruct Box {};',
  'a nested type': 'struct Engine::Impl {};',
  'a function of the same parameters': 'inline int Sum(const std::vector<int>& values, int first = 0) { return first; }',
  'a function after odd literals': 'const char* const kQuote = "\\"{"; const char c = \'{\'; const auto r = R"x({)x";\nvoid Print() {}',
  'an inline variable': 'inline constexpr int kMost = 5;',
})) {
  test(`${what}, in two sources`, () => {
    assert(check({'runtime/a.cc': inQuern(text), 'runtime/b.cc': inQuern(text)}).fails);
    assert(!check({'runtime/a.cc': inQuern(text)}).fails);
  });
}

for (const [what, [one, other]] of Object.entries({
  'anonymous namespaces': ['namespace {\nstruct A {};\n}  // namespace', 'struct A {};'],
  overloads: ['int Add(int a) { return a; }', 'int Add(const Foo& a) { return a.n; }'],
  'members of different classes': ['struct A {\n  struct Part {};\n  int Get() { return 1; }\n};', 'struct B {\n  struct Part {};\n  int Get() { return 1; }\n};'],
  declarations: ['class A;\nint Add(int a);', 'class A {};\nint Add(int a) { return a; }'],
  'static functions': ['static int Add(int a) { return a; }', 'static int Add(int a) { return a; }'],
  comments: ['// struct A {};\n/* struct A {\n}; */', 'struct A {};'],
  'what each SIMD target compiles': ['namespace HWY_NAMESPACE {\nstruct A {};\n}', 'namespace HWY_NAMESPACE {\nstruct A {};\n}'],
  constructors: ['A::A(int n) : n_{n}, m_(n) {\n}', 'A::A(bool b) : n_{b}, m_(b) {\n}'],
})) {
  test(`${what} are no second definition`, () => {
    assert.deepEqual(check({'runtime/a.cc': inQuern(one), 'runtime/b.cc': inQuern(other)}), {fails: false, says: ''});
  });
}

test('tests are executables of their own, which link the project', () => {
  const own = inQuern('struct Fixture {};');
  assert(!check({'tests/a_test.cc': own, 'tests/b_test.cc': own}).fails);
  assert(check({'tests/a_test.cc': own, 'runtime/a.h': own}).fails);
});
