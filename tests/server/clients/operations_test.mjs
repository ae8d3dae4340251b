// What operators do with a running server: keys, logs, and the signals that have them read or opened again.
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {createHash} from 'node:crypto';
import {existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, test} from 'node:test';
import {promisify} from 'node:util';
import {ServerProcess, quernExecutable, until} from './server_process.mjs';

const folder = mkdtempSync(join(tmpdir(), 'quern-operations-'));
const [keys, audit, log] = ['keys', 'audit', 'log'].map((name) => join(folder, name));

/** Makes a key as an operator does, and gives it. */
async function newKey(...words) {
  return (await promisify(execFile)(quernExecutable, ['key', 'new', '--file', keys, ...words])).stdout.trim();
}

const alice = await newKey('alice', '--rate', '3/day');
const server = await ServerProcess.start(['--api-key-file', keys, '--audit-log', audit, '--log-file', log]);
after(async () => {
  assert.equal(await server.stop(), 0);
  rmSync(folder, {recursive: true});
});

const ask = (key, prompt) => server.post('/v1/completions', {prompt, max_tokens: 4, temperature: 0},
  {headers: {authorization: `Bearer ${key}`}});
const linesOf = (path) => readFileSync(path, 'utf8').split('\n').filter((line) => line).map((line) => JSON.parse(line));
const statusWith = async (key) => (await server.fetch('/v1/models', {headers: {'x-api-key': key}})).status;

test('each request is audited, with the name of its key', async () => {
  const answered = await ask(alice, 'bread');
  assert.equal(answered.status, 200);
  assert.equal((await ask('wrong', 'bread')).status, 401);
  await until(() => existsSync(audit) && linesOf(audit).length >= 2, 'both are audited');
  const [first, second] = linesOf(audit);
  assert.equal(first.key, 'alice');
  assert.equal(first.prompt_sha256, createHash('sha256').update('bread').digest('hex'));
  assert.equal(first.generated_tokens, (await answered.json()).usage.completion_tokens);
  assert.equal(first.model, 'Quern demo');
  assert.equal(second.status, 401);
  assert.equal(second.key, undefined);
  assert.ok(!readFileSync(audit, 'utf8').includes('bread'));
});

test('SIGUSR1 has the logs opened again', async () => {
  renameSync(audit, `${audit}.old`);
  renameSync(log, `${log}.old`);
  process.kill(server.pid, 'SIGUSR1');
  await until(() => existsSync(audit) && existsSync(log), 'both are there');
  assert.equal((await ask(alice, 'water')).status, 200);
  await until(() => linesOf(audit).length === 1, 'it is audited');
  assert.match(readFileSync(log, 'utf8'), /logs opened again/);
});

test('a key has its limit', async () => {
  assert.equal((await ask(alice, 'tree')).status, 200);
  const refused = await ask(alice, 'tree');
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get('x-ratelimit-remaining-requests'), '0');
  assert.ok(Number(refused.headers.get('retry-after')) > 3600);
});

test('SIGHUP has new keys read, and a bad file leaves all as it was', async () => {
  const bob = await newKey('bob');
  assert.equal(await statusWith(bob), 401);
  process.kill(server.pid, 'SIGHUP');
  await until(async () => await statusWith(bob) === 200, 'the new key is taken');
  writeFileSync(keys, 'no good\n', {flag: 'a'});
  process.kill(server.pid, 'SIGHUP');
  await until(() => /not reloaded.*line 3/.test(readFileSync(log, 'utf8')), 'the log tells the line');
  assert.equal(await statusWith(alice), 200);
  assert.equal(await statusWith(bob), 200);
});

test('a large audit log is set aside', async () => {
  const large = join(folder, 'large');
  const other = await ServerProcess.start(['--audit-log', large, '--audit-content', '--audit-size', 1, '--audit-files', 1]);
  const prompt = 'word '.repeat(150_000);  // more than the context holds, which the audit log tells all the same
  for (let n = 0; n < 3; ++n) assert.equal((await other.post('/v1/completions', {prompt})).status, 400);
  await until(() => existsSync(`${large}.1`) && linesOf(large).length === 1, 'the third line has a file of its own');
  assert.equal(linesOf(`${large}.1`).length, 1);
  assert.ok(!existsSync(`${large}.2`));
  assert.equal(await other.stop(), 0);
});

test('a full disk loses lines of the audit log, which are counted and told of now and then', {
  skip: !existsSync('/dev/full') && 'there is no /dev/full',
}, async () => {
  const file = join(folder, 'full-disk-log');
  const other = await ServerProcess.start(['--audit-log', '/dev/full', '--log-file', file]);
  const lost = async () => Number(/^quern_audit_lines_lost_total (\d+)$/m.exec(await (await other.fetch('/metrics')).text())[1]);
  for (let n = 1; n <= 20; ++n) {
    assert.equal((await other.post('/tokenize', {content: 'bread'})).status, 200);
    await until(async () => await lost() >= n, 'it is counted');
  }
  const told = readFileSync(file, 'utf8').match(/warning audit lines lost count=\d+/g);
  assert.ok(told.length >= 1 && told.length < 20, `told ${told.length} times`);
  assert.equal(await other.stop(), 0);
});
