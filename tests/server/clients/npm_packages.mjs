// The npm clients that the tests drive. Without them a test says so and is skipped: CTest knows it by the exit code 77.
import {createRequire} from 'node:module';
import {ServerProcess} from './server_process.mjs';

const require = createRequire(new URL('../../../.deps/clients/package.json', import.meta.url));

function load(name) {
  try {
    return require(name);
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    console.log(`skipped: ${name} is not in .deps/clients; tools/setup/fetch-clients.sh puts it there`);
    process.exit(77);
  }
}

export const OpenAI = load('openai');
export const {ChatOpenAI} = load('@langchain/openai');

/** Asks a server as an application would; no retries, so that a test sees each answer. */
export function clientOf(server, options = {}) {
  return new OpenAI({baseURL: `${server.url}/v1`, apiKey: 'unused', maxRetries: 0, ...options});
}

/** A server with the demo model, and a client of it. */
export async function startDemo(flags = [], options = {}) {
  const server = await ServerProcess.start(flags);
  return {server, client: clientOf(server, options)};
}
