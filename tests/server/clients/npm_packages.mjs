// The npm clients that the tests drive, and the demo model behind a server for them.
import {load} from './load_package.mjs';
import {ServerProcess} from './server_process.mjs';

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
