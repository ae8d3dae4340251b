// Several models behind one server: loaded when they are asked for, chosen by routers, read again at SIGHUP.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, test} from 'node:test';
import {ServerProcess, quernExecutable, serverSentEvents, until} from './server_process.mjs';

const folder = mkdtempSync(join(tmpdir(), 'quern-models-'));
const file = (name) => join(folder, name);
const [config, log] = [file('models.toml'), file('log')];
const quern = (...words) => execFileSync(quernExecutable, words, {stdio: 'pipe'});

const shapes = {'n-layer': 2, 'n-embd': 256, 'n-head': 4, 'n-head-kv': 2, 'n-ff': 512, 'n-vocab': 1000, 'n-ctx': 1024};
quern('synth', ...Object.entries(shapes).flatMap(([name, n]) => [`--${name}`, n]), file('small.gguf'));
copyFileSync(file('small.gguf'), file('big.gguf'));
writeFileSync(file('keys'), 'only-key\n');

const models = `
default = "auto"

[models.small]
path = "small.gguf"
aliases = ["gpt-4o-mini"]

[models.big]
path = "big.gguf"

[routers.auto]
default = "small"
fallback = ["big"]

[[routers.auto.rules]]
name = "long"
model = "big"
min_prompt_bytes = 100
`;
writeFileSync(config, models);
const server = await ServerProcess.start(['--models-file', config, '--models-max', '1', '--log-file', log]);
after(async () => {
  assert.equal(await server.stop(), 0);
  rmSync(folder, {recursive: true});
});

const ask = (model, prompt = 'a', more = {}) => server.post('/v1/completions', {
  ...(model === undefined ? {} : {model}), prompt, max_tokens: 4, ignore_eos: true, ...more});
const routeOf = (response) => [response.headers.get('x-quern-model'), response.headers.get('x-quern-route')];
const stateOf = async (id) => (await server.json('/v1/models')).data.find((model) => model.id === id)?.status?.value;

test('all are listed, and none is loaded before it is asked for', async () => {
  const {data} = await server.json('/v1/models');
  assert.deepEqual(data.map((model) => [model.id, model.status?.value]),
    [['small', 'unloaded'], ['big', 'unloaded'], ['auto', undefined]]);
  assert.deepEqual(data[2].routes_to, ['big', 'small']);
  assert.ok(data[0].meta.n_params > 0);
  assert.equal((await server.fetch('/health')).status, 200);
  assert.equal((await server.fetch('/props')).status, 503);
});

test('a request gets the model that it names', async () => {
  for (const [name, id] of [['big', 'big'], ['small', 'small'], ['gpt-4o-mini', 'small']]) {
    const response = await ask(name);
    assert.equal(response.status, 200);
    assert.deepEqual(routeOf(response), [id, null]);
    assert.equal((await response.json()).model, id);
    assert.equal(await stateOf(id), 'loaded');
  }
  assert.equal(await stateOf('big'), 'unloaded');  // there is room for one
  const unknown = await ask('gpt-5');
  assert.equal(unknown.status, 404);
  assert.equal((await unknown.json()).error.type, 'model_not_found');
  assert.equal((await server.fetch('/props?model=big')).status, 503);
  assert.equal((await server.json('/props?model=small')).model_alias, 'small');
});

test('a router chooses, and says so in headers, log and metrics', async () => {
  assert.deepEqual(routeOf(await ask('auto')), ['small', 'auto/default']);
  assert.deepEqual(routeOf(await ask(undefined)), ['small', 'auto/default']);
  const long = await ask('auto', 'long '.repeat(20), {stream: true});
  assert.deepEqual(routeOf(long), ['big', 'auto/long']);
  const events = [];
  for await (const event of serverSentEvents(long)) events.push(event);
  assert.equal(events[0].model, 'big');
  assert.equal(events.at(-1), '[DONE]');
  assert.match(readFileSync(log, 'utf8'), /model=small route=auto\/default status=200/);
  const counted = () => server.metric('quern_routed_requests_total{model="big",router="auto",rule="long"}');
  await until(async () => await counted() === 1, 'the route is counted');
  assert.ok(await server.metric('quern_model_loads_total{model="big"}') >= 2);
});

test('streams of two models end though there is room for one', async () => {
  const lengths = await Promise.all(['small', 'big', 'small', 'big'].map(async (model) => {
    const response = await ask(model, 'a', {stream: true, max_tokens: 100});
    assert.equal(response.status, 200);
    let n = 0;
    for await (const event of serverSentEvents(response)) n += event === '[DONE]' ? 1000 : 0;
    return n;
  }));
  assert.deepEqual(lengths, [1000, 1000, 1000, 1000]);
});

test('a model is loaded and unloaded on request', async () => {
  assert.equal((await server.post('/models/load', {model: 'big'})).status, 200);
  await until(async () => await stateOf('big') === 'loaded', 'it is loaded');
  assert.equal((await server.post('/models/unload', {model: 'big'})).status, 200);
  await until(async () => await stateOf('big') === 'unloaded', 'it is unloaded');
  assert.equal((await server.post('/models/load', {model: 'none'})).status, 404);
  assert.equal((await server.post('/models/load', {})).status, 400);
});

test('what fails falls back', async () => {
  await server.post('/models/unload', {model: 'small'});
  await until(async () => await stateOf('small') !== 'loaded', 'it is unloaded');
  writeFileSync(file('small.gguf'), 'not a model');
  const direct = await ask('small');
  assert.equal(direct.status, 500);
  const {error} = await direct.json();
  assert.equal(error.message, 'the model small could not be loaded');
  const response = await ask('auto');
  assert.equal(response.status, 200);
  assert.deepEqual(routeOf(response), ['big', 'auto/fallback']);
  assert.equal(response.headers.get('retry-after'), null);
  assert.match(readFileSync(log, 'utf8'), /fallback id=\w+ from=small to=big/);
  copyFileSync(file('big.gguf'), file('small.gguf'));
  assert.deepEqual(routeOf(await ask('auto')), ['small', 'auto/default']);
});

test('SIGHUP reads the file again, and a bad one leaves all as it was', async () => {
  writeFileSync(config, models.replace('[models.big]', '[models.huge]\npath = "big.gguf"\n[models.big]'));
  process.kill(server.pid, 'SIGHUP');
  await until(async () => await stateOf('huge') === 'unloaded', 'the new model is there');
  assert.equal((await ask('huge')).status, 200);
  writeFileSync(config, models.replace('"big.gguf"', '"none.gguf"'));
  process.kill(server.pid, 'SIGHUP');
  await until(() => /not reloaded.*the model big.*none\.gguf/.test(readFileSync(log, 'utf8')), 'the log says why not');
  assert.equal((await ask('huge')).status, 200);
});

test('a folder of models, with keys, and with what is no model left out', async () => {
  writeFileSync(file('broken.gguf'), 'no');
  const other = await ServerProcess.start(['--models-dir', folder, '--api-key-file', file('keys')]);
  try {
    const headers = {authorization: 'Bearer only-key'};
    const {data} = await other.json('/v1/models', undefined, {headers});
    assert.deepEqual(data.map((model) => model.id), ['big', 'small']);
    const response = await other.post('/v1/completions', {model: 'small', prompt: 'a', max_tokens: 2}, {headers});
    assert.deepEqual([response.status, response.headers.get('x-quern-model')], [200, 'small']);
  } finally {
    assert.equal(await other.stop(), 0);
  }
});
