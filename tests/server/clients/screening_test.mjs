// What rules of screening do to requests, and what the operator sees of them.
import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, test} from 'node:test';
import {ServerProcess, until} from './server_process.mjs';

const folder = mkdtempSync(join(tmpdir(), 'quern-screening-'));
const [rules, audit, log] = ['rules', 'audit', 'log'].map((name) => join(folder, name));

writeFileSync(rules, `
# what is baked
sweet log   \\bcake\\b
bitter block \\bhemlock\\b
slow   block ^(a|aa)+$
`);
const server = await ServerProcess.start(
  ['--screening', rules, '--audit-log', audit, '--log-file', log, '--log-format', 'json']);
after(async () => {
  assert.equal(await server.stop(), 0);
  rmSync(folder, {recursive: true});
});

const complete = (prompt) => server.post('/v1/completions', {prompt, max_tokens: 1});
const screened = (rule, action) => server.metric(`quern_prompts_screened_total{action="${action}",rule="${rule}"}`);
const linesOf = (path) => readFileSync(path, 'utf8').split('\n').filter((line) => line).map((line) => JSON.parse(line));

/** The lines of the audit and of the log about the request with this response. */
async function linesAbout(response) {
  const id = response.headers.get('x-request-id');
  const find = (path) => linesOf(path).find((line) => line.id === id);
  await until(() => find(audit) && find(log), 'it is in both');
  return [find(audit), find(log)];
}

async function assertBlocked(response, rule) {
  assert.equal(response.status, 400);
  const {error} = await response.json();
  assert.equal(error.type, 'prompt_blocked');
  assert.match(error.message, new RegExp(`rule '${rule}'`));
}

test('a rule that logs lets a request pass', async () => {
  const response = await complete('a Cake');
  assert.equal(response.status, 200);
  for (const line of await linesAbout(response)) assert.equal(line.screened, 'sweet/log');
  assert.equal(await screened('sweet', 'log'), 1);
});

test('a rule that blocks answers 400, and nobody logs the prompt', async () => {
  const response = await complete('a cake of hemlock');
  await assertBlocked(response, 'bitter');
  for (const line of await linesAbout(response)) {
    assert.equal(line.screened, 'sweet/log,bitter/block');
    assert.equal(line.status, 400);
    assert.equal(line.outcome, 'rejected');
    assert.equal(line.prompt_tokens, undefined);
  }
  assert.equal(await screened('bitter', 'block'), 1);
  for (const path of [audit, log]) assert.ok(!readFileSync(path, 'utf8').includes('hemlock'));
});

test('a rule that gives up lets a request pass, and is told of', async () => {
  const response = await complete(`${'a'.repeat(1000)}!`);
  assert.equal(response.status, 200);
  for (const line of await linesAbout(response)) assert.equal(line.screened, 'slow/gave_up');
  assert.equal(await screened('slow', 'gave_up'), 1);
});

test('what no rule knows is not told of', async () => {
  for (const line of await linesAbout(await complete('bread'))) assert.ok(!('screened' in line));
});

test('all prompts of all kinds of requests are screened', async () => {
  const word = 'hemlock';
  const {tokens} = await server.json('/tokenize', {content: word});
  const messages = (role) => [{role, content: `some ${word}`}, {role: 'user', content: 'bread'}];
  for (const [path, body] of [
    ['/v1/completions', {prompt: ['bread', word]}],
    ['/v1/completions', {prompt: word, stream: true}],
    ['/v1/completions', {prompt: tokens}],
    ['/v1/completions', {prompt: [999999999, ...tokens]}],
    ['/completion', {prompt: ['hem', ...(await server.json('/tokenize', {content: 'lock'})).tokens]}],
    ['/v1/chat/completions', {messages: messages('system')}],
    ['/v1/chat/completions', {messages: messages('user')}],
    ['/v1/chat/completions', {messages: messages('assistant')}],
    ['/v1/chat/completions', {messages: [{role: 'user', content: [{type: 'text', text: word}]}]}],
    ['/v1/embeddings', {input: ['bread', word]}],
    ['/v1/embeddings', {input: tokens}],
  ]) {
    await assertBlocked(await server.post(path, body), 'bitter');
  }
});

test('SIGHUP has the rules read again, and a bad file leaves the old ones', async () => {
  writeFileSync(rules, 'sour block vinegar\n');
  process.kill(server.pid, 'SIGHUP');
  await until(async () => (await complete('vinegar')).status === 400, 'the new rule is there');
  assert.equal((await complete('hemlock')).status, 200);
  writeFileSync(rules, '# new\nsalty block (salt\n');
  process.kill(server.pid, 'SIGHUP');
  await until(() => linesOf(log).some((line) => /^not reloaded/.test(line.message)), 'the log tells it');
  const told = linesOf(log).find((line) => /^not reloaded/.test(line.message));
  assert.match(told.error, /rules, line 2: '\(salt' is no pattern, at its byte 5/);
  await assertBlocked(await complete('vinegar'), 'sour');
});

test('a bad file keeps the server from its start', async () => {
  await assert.rejects(ServerProcess.start(['--screening', rules]));
});
