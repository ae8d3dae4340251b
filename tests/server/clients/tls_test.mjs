// TLS with curl, which verifies the certificate, and a new certificate while a stream runs.
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {existsSync, mkdtempSync, readFileSync, rmSync, statSync} from 'node:fs';
import https from 'node:https';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, test} from 'node:test';
import {promisify} from 'node:util';
import {ServerProcess, quernExecutable, until} from './server_process.mjs';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'quern-tls-'));
const [certificate, key] = ['server.crt', 'server.key'].map((name) => join(folder, name));
const makeCertificate = () => run(quernExecutable, [
  'cert', 'localhost', '127.0.0.1', '--force', '--cert-file', certificate, '--key-file', key]);
await makeCertificate();
const firstCertificate = readFileSync(certificate);
const server = await ServerProcess.start(['-c', 8192, '--ssl-cert-file', certificate, '--ssl-key-file', key]);
after(async () => {
  await server.stop();
  rmSync(folder, {recursive: true});
});

const curl = (...flags) => run('curl', ['--silent', '--show-error', ...flags]);

/** A new connection to a server of which `ca` vouches, and a request on it. */
function connect(ca) {
  return new Promise((resolve, reject) => {
    https.get(`${server.url}/health`, {ca, agent: false}, (response) => response.resume().on('end', resolve))
      .on('error', reject);
  });
}

test('the private key is for its owner alone', () => assert.equal(statSync(key).mode & 0o777, 0o600));

test('a certificate that cannot be written leaves no key behind', async () => {
  const alone = join(folder, 'alone.key');
  await assert.rejects(
    run(quernExecutable, ['cert', '--cert-file', join(folder, 'none', 'server.crt'), '--key-file', alone]),
    /error: cannot write '.*server\.crt'/);
  assert.ok(!existsSync(alone));
});

test('curl verifies the certificate', async () => {
  assert.match(server.url, /^https:/);
  assert.deepEqual(JSON.parse((await curl('--cacert', certificate, `${server.url}/health`)).stdout), {status: 'ok'});
  await assert.rejects(curl(`${server.url}/health`), /certificate/);
  await assert.rejects(curl('--cacert', certificate, '--tls-max', '1.1', `${server.url}/health`));
});

test('an answer is the same as in one piece, streamed', async () => {
  const ask = async (stream) => {
    const {stdout} = await curl('--cacert', certificate, `${server.url}/v1/completions`, '--json',
      JSON.stringify({prompt: 'What does bread mean?', temperature: 0, max_tokens: 50, stream}));
    return stdout;
  };
  const events = (await ask(true)).split('\n\n').filter((event) => event.startsWith('data: {'));
  const streamed = events.map((event) => JSON.parse(event.slice('data: '.length)).choices[0].text).join('');
  assert.equal(streamed, JSON.parse(await ask(false)).choices[0].text);
});

test('SIGHUP brings a new certificate, and drops no stream', async () => {
  const stream = await new Promise((resolve, reject) => {
    https.request(`${server.url}/completion`, {method: 'POST', ca: firstCertificate, agent: false}, resolve)
      .on('error', reject).end(JSON.stringify({prompt: 'a', n_predict: 6000, ignore_eos: true, stream: true}));
  });
  let text = '';
  stream.setEncoding('utf8').on('data', (part) => text += part);
  const failed = new Promise((_, reject) => stream.on('error', reject));
  await until(() => text.length > 0, 'the stream has begun');

  await makeCertificate();
  process.kill(server.pid, 'SIGHUP');
  const newCertificate = readFileSync(certificate);
  await until(() => connect(newCertificate).then(() => true, () => false), 'the new certificate is shown');
  await assert.rejects(connect(firstCertificate), /self-signed/);
  const shown = text.length;
  await Promise.race([failed, until(() => text.length > shown, 'the stream goes on')]);
  assert.doesNotMatch(text, /"stop":true/);
  stream.removeAllListeners('error').on('error', () => {}).destroy();
});
