// A Prometheus server, and the files of tools/monitoring. Without Prometheus a test says so and is skipped: CTest knows
// it by the exit code 77.
import {spawn, spawnSync} from 'node:child_process';
import {cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {Server} from '../../server/clients/server_process.mjs';

for (const command of ['prometheus', 'promtool']) {
  if (spawnSync(command, ['--version']).error) {
    console.log(`skipped: ${command} is not installed; tools/setup/install.sh monitor installs it`);
    process.exit(77);
  }
}

const monitoring = fileURLToPath(new URL('../../../tools/monitoring', import.meta.url));

export const readMonitoring = (name) => readFileSync(join(monitoring, name), 'utf8');

/** A copy of the folder as an operator makes one, with the file of the key; it is gone when this process ends. */
export function copyMonitoring(key) {
  const folder = mkdtempSync(join(tmpdir(), 'quern-monitoring-'));
  process.once('exit', () => rmSync(folder, {recursive: true, force: true}));
  cpSync(monitoring, folder, {recursive: true});
  writeFileSync(join(folder, 'quern.key'), `${key}\n`);
  return folder;
}

/** Fails with what promtool says where it finds fault. */
export function promtool(folder, ...words) {
  const {status, stdout, stderr} = spawnSync('promtool', words, {cwd: folder, encoding: 'utf8'});
  if (status !== 0) throw new Error(`promtool ${words.join(' ')}: ${stdout}${stderr}`);
}

/** Listens on a free port of loopback; ends with this process. */
export class Prometheus extends Server {
  #child;

  constructor(child, url) {
    super(url);
    this.#child = child;
  }

  /** Starts it with the `prometheus.yml` of a folder, where it keeps its data too. */
  static async start(folder) {
    const flags = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`,
      '--web.listen-address=127.0.0.1:0'];
    const child = spawn('prometheus', flags, {stdio: ['ignore', 'ignore', 'pipe']});
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    let log = '';
    const url = await new Promise((resolve, reject) => {
      let found;
      setTimeout(() => reject(new Error(`prometheus was not ready within 60 s:\n${log}`)), 60_000).unref();
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`prometheus ended with ${code}:\n${log}`)));
      createInterface({input: child.stderr}).on('line', (line) => {
        log += `${line}\n`;
        found ??= /msg="Listening on".* address=(\S+)/.exec(line)?.[1];
        if (found && line.includes('Server is ready')) resolve(`http://${found}`);
      });
    });
    return new Prometheus(child, url);
  }

  async #get(path, parameters) {
    return (await this.json(`/api/v1/${path}?${new URLSearchParams(parameters)}`)).data;
  }

  /** The series of an expression: {metric, values}, a value for each of the last `seconds` and one for now. */
  async range(query, seconds) {
    const end = Date.now() / 1000;
    const {result} = await this.#get('query_range', {query, start: end - seconds, end, step: 1});
    return result.map(({metric, values}) => ({metric, values: values.map(([, value]) => Number(value))}));
  }

  /** The sum of an expression's values now; 0 where it has none. */
  async sum(query) {
    const {result} = await this.#get('query', {query});
    return result.reduce((sum, {value}) => sum + Number(value[1]), 0);
  }

  labelValues(label, metric) {
    return this.#get(`label/${label}/values`, {'match[]': metric});
  }

  /** All alerting rules, by their names. */
  async alerts() {
    const {groups} = await this.#get('rules', {type: 'alert'});
    return new Map(groups.flatMap(({rules}) => rules.map((rule) => [rule.name, rule])));
  }

  async stop() {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    return await ended;
  }
}
