// A collector for tests: takes spans by OTLP over HTTP, and only what is right by OpenTelemetry's schema and specification.
import assert from 'node:assert/strict';
import {createServer} from 'node:http';
import {load} from './load_package.mjs';

// protobufjs made it of the published .proto files.
const {ExportTraceServiceRequest} =
  load('@opentelemetry/otlp-transformer/build/src/generated/root.js').opentelemetry.proto.collector.trace.v1;

const hex = (bytes) => Buffer.from(bytes).toString('hex');

function idOf(bytes, length) {
  assert.equal(bytes?.length, length);
  assert.ok(bytes.some((byte) => byte !== 0), 'an id of zeros');
  return hex(bytes);
}

function attributesOf(list) {
  const attributes = {};
  for (const {key, value} of list) {
    assert.ok(key, 'an attribute without a name');
    assert.ok(!(key in attributes), `${key} is there twice`);
    const kinds = Object.keys(value);
    assert.equal(kinds.length, 1, `${key} has not one value: ${kinds}`);
    attributes[key] = kinds[0] === 'intValue' ? Number(value.intValue) : value[kinds[0]];
  }
  return attributes;
}

function spanOf(span, resource, scope) {
  assert.ok(span.name, 'a span without a name');
  assert.ok(span.kind >= 1 && span.kind <= 5, `kind ${span.kind}`);
  assert.ok(span.flags <= 0x3ff, `flags ${span.flags}`);
  assert.ok((span.status?.code ?? 0) <= 2, `status ${span.status?.code}`);
  const [start, end] = [span.startTimeUnixNano, span.endTimeUnixNano].map((time) => BigInt(time.toString()));
  assert.ok(start > 0n && start <= end, `from ${start} to ${end}`);
  return {
    traceId: idOf(span.traceId, 16), spanId: idOf(span.spanId, 8),
    parentSpanId: span.parentSpanId?.length ? idOf(span.parentSpanId, 8) : '',
    traceState: span.traceState ?? '', name: span.name, kind: span.kind, start, end,
    attributes: attributesOf(span.attributes), status: span.status?.code ?? 0, resource, scope,
  };
}

/** The spans in the body of an export. Throws where a collector could not take it. */
export function decodeSpans(body) {
  const request = ExportTraceServiceRequest.decode(body);
  assert.equal(ExportTraceServiceRequest.verify(request), null);
  // What the schema does not know, and text that is not UTF-8, would come out otherwise.
  assert.equal(hex(ExportTraceServiceRequest.encode(request).finish()), hex(body));
  return request.resourceSpans.flatMap(({resource, scopeSpans}) => {
    const service = attributesOf(resource.attributes);
    assert.equal(typeof service['service.name'], 'string');
    return scopeSpans.flatMap(({scope, spans}) => spans.map((span) => spanOf(span, service, scope.name)));
  });
}

export class OtlpReceiver {
  spans = [];
  headers = [];  // of each export
  errors = [];   // of exports that were refused
  #server = createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      try {
        this.#take(request, Buffer.concat(parts));
        response.writeHead(200, {'content-type': 'application/x-protobuf'});
      } catch (error) {
        this.errors.push(error);
        response.writeHead(400);
      }
      response.end();
    });
  });

  static async start() {
    const receiver = new OtlpReceiver();
    await new Promise((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #take(request, body) {
    assert.equal(`${request.method} ${request.url}`, 'POST /v1/traces');
    assert.equal(request.headers['content-type'], 'application/x-protobuf');
    assert.equal(request.headers['content-encoding'], undefined);
    const spans = decodeSpans(body);
    assert.ok(spans.length > 0, 'an export of nothing');
    this.headers.push(request.headers);
    this.spans.push(...spans);
  }
}
