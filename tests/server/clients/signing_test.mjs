// Clients that sign their requests rather than send their key, by server/SIGNATURES.md alone.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {createHash, createHmac} from 'node:crypto';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, test} from 'node:test';
import {ServerProcess, quernExecutable, until} from './server_process.mjs';

const folder = mkdtempSync(join(tmpdir(), 'quern-signing-'));
const [keys, audit] = ['keys', 'audit'].map((name) => join(folder, name));
const quern = (words, env = {}) =>
  execFileSync(quernExecutable, words, {encoding: 'utf8', stdio: 'pipe', env: {...process.env, ...env}});
const newKey = (...words) => quern(['key', 'new', '--file', keys, ...words]).trim();

const strict = newKey('strict', '--signed', '--rate', '20/day');
const free = newKey('free', '--may-sign');
const plain = newKey('plain');
const server = await ServerProcess.start(['--api-key-file', keys, '--audit-log', audit]);
after(async () => {
  assert.equal(await server.stop(), 0);
  rmSync(folder, {recursive: true});
});

const start = Math.floor(Date.now() / 1000);
let count = 0;
/** A time of its own for each request, within the second in which the server had started already. */
const newTime = () => `${start + 1}.${String(++count).padStart(6, '0')}`;

function sign(name, key, method, target, body = '', timestamp = newTime()) {
  const secret = createHmac('sha256', key).update('quern-signature-v1').digest();
  const digest = createHash('sha256').update(body).digest('hex');
  return {
    'x-quern-key': name, 'x-quern-timestamp': timestamp,
    'x-quern-signature': createHmac('sha256', secret).update([timestamp, method, target, digest].join('\n')).digest('hex'),
  };
}
const path = '/v1/completions';
const body = JSON.stringify({prompt: 'bread', max_tokens: 2, temperature: 0});
const post = (headers, sent = body, to = path) => server.post(to, sent, {headers});
async function refused(response, message) {
  assert.equal(response.status, 401);
  assert.match((await response.json()).error.message, message);
}

test('a signed request is answered, as that of its key', async () => {
  const response = await post(sign('strict', strict, 'POST', path, body));
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-ratelimit-limit-requests'), '20');
  assert.equal((await post(sign('free', free, 'POST', path, body))).status, 200);
  assert.equal((await server.fetch('/props?a=b', {headers: sign('free', free, 'GET', '/props?a=b')})).status, 200);
  await until(() => readFileSync(audit, 'utf8').includes('"key":"free"'), 'it is audited');
  assert.ok(!readFileSync(keys, 'utf8').includes(strict));
});

test('a key that must sign is not taken itself; another is', async () => {
  await refused(await server.post(path, body, {headers: {authorization: `Bearer ${strict}`}}), /must be signed/);
  for (const key of [free, plain]) {
    assert.equal((await server.post(path, body, {headers: {authorization: `Bearer ${key}`}})).status, 200);
  }
  await refused(await post(sign('plain', plain, 'POST', path, body)), /no valid signature/);
});

test('what was not signed so is refused', async () => {
  const wrong = /no valid signature/;
  const headers = () => sign('strict', strict, 'POST', path, body);
  await refused(await post(headers(), body + ' '), wrong);
  await refused(await post(headers(), body, '/completion'), wrong);
  await refused(await post(sign('strict', strict, 'GET', path, body)), wrong);
  await refused(await post({...headers(), 'x-quern-timestamp': newTime()}), wrong);
  await refused(await post({...headers(), 'x-quern-key': 'free'}), wrong);
  await refused(await post({...headers(), 'x-quern-key': 'nobody'}), wrong);
  await refused(await post(sign('strict', free, 'POST', path, body)), wrong);
  // Another key beside it does not help.
  await refused(await post({...headers(), 'x-quern-key': 'nobody', authorization: `Bearer ${free}`}), wrong);
});

test('headers must be there, once, and of their form', async () => {
  const headers = sign('strict', strict, 'POST', path, body);
  for (const name of Object.keys(headers)) {
    const {[name]: _, ...rest} = headers;
    await refused(await post(rest), /once each.*0 times/);
  }
  await refused(await post({...headers, 'x-quern-signature': 'abc'}), /64 hex digits/);
  await refused(await post({...headers, 'x-quern-timestamp': 'now'}), /seconds since 1970/);
});

test('a signature is taken once, and in its time', async () => {
  const headers = sign('strict', strict, 'POST', path, body);
  assert.equal((await post(headers)).status, 200);
  await refused(await post(headers), /used before/);
  await refused(await post(sign('strict', strict, 'POST', path, body, String(start - 400))), /s before the server's time/);
  await refused(await post(sign('strict', strict, 'POST', path, body, String(start + 400))), /s after the server's time/);
  await refused(await post(sign('strict', strict, 'POST', path, body, String(start - 200))), /before the server started/);
});

test('what is refused counts for no quota', async () => {
  const left = async () => {
    const response = await post(sign('strict', strict, 'POST', path, body));
    assert.equal(response.status, 200);
    return Number(response.headers.get('x-ratelimit-remaining-requests'));
  };
  const before = await left();
  await refused(await post({...sign('strict', strict, 'POST', path, body), 'x-quern-timestamp': newTime()}), /no valid/);
  assert.equal(await left(), before - 1);
});

test('health needs no signature, and is not refused for a bad one', async () => {
  assert.equal((await server.fetch('/health', {headers: {'x-quern-key': 'nobody'}})).status, 200);
});

test('`quern key sign` gives headers that are taken', async () => {
  const file = join(folder, 'body');
  writeFileSync(file, body);
  const printed = quern(['key', 'sign', 'strict', path, '--body', file], {QUERN_API_KEY: strict});
  const headers = Object.fromEntries(printed.trim().split('\n').map((line) => line.split(': ')));
  assert.equal((await post(headers)).status, 200);
});
