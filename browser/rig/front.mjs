// What stands between the browser and everything else: TLS for any host, the pages of made-up customers, and a reverse proxy to our servers
// whose connections a test can cut and refuse, WebSockets among them.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, request as forward } from 'node:http';
import { createServer } from 'node:https';
import { temporaryFolder } from './process.mjs';

function makeCertificate() {
  const folder = temporaryFolder();
  const files = ['-keyout', `${folder}/key.pem`, '-out', `${folder}/certificate.pem`];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=browser tests'];
  execFileSync('openssl', ['req', ...kind, ...files], { stdio: 'pipe' });
  return { key: readFileSync(`${folder}/key.pem`), cert: readFileSync(`${folder}/certificate.pem`) };
}

/** A server of ours as the world sees it. */
class Proxied {
  constructor(server) {
    this.server = server;
    this.agent = new Agent({ keepAlive: false });
    this.sockets = new Set();
    /** While true every connection is closed before an answer. */
    this.refuses = false;
    /** While true a WebSocket is answered as by a proxy that knows none. */
    this.refusesSockets = false;
    /** While true nothing that a browser says by WebSocket arrives. */
    this.swallows = false;
    /** The WebSockets that are open, from the server's side to the browser's. */
    this.upgraded = new Set();
    /** Every request that came through: `{method, path, headers, status}`. */
    this.requests = [];
    /** A test's answer in place of the server's: `(request) => {status, headers, body} | undefined`. */
    this.answer = undefined;
  }

  /** Breaks every open connection, in the middle of whatever it carries. */
  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  #enter({ method, url: path, headers, socket }) {
    if (!this.sockets.has(socket)) socket.once('close', () => this.sockets.delete(socket));
    this.sockets.add(socket);
    const entry = { method, path, headers };
    this.requests.push(entry);
    return entry;
  }

  /** A WebSocket's handshake, and then its bytes in both directions. */
  upgrade(request, socket, head) {
    socket.on('error', () => {});
    if (this.refuses) return socket.destroy();
    const entry = this.#enter(request);
    if (this.refusesSockets) return socket.end(`HTTP/1.1 ${(entry.status = 400)} Bad Request\r\nconnection: close\r\n\r\n`);
    const { method, path, headers } = entry;
    const onward = forward(this.server.url + path, { method, headers, agent: false, setHost: false });
    const tell = ({ statusCode, statusMessage, rawHeaders }) => {
      entry.status = statusCode;
      const lines = rawHeaders.map((text, at) => text + (at % 2 ? '\r\n' : ': '));
      socket.write(`HTTP/1.1 ${statusCode} ${statusMessage}\r\n${lines.join('')}\r\n`);
    };
    onward.once('upgrade', (answer, server, rest) => {
      tell(answer);
      server.on('error', () => {});
      server.once('close', () => socket.destroy());
      socket.once('close', () => (this.upgraded.delete(socket), server.destroy()));
      this.upgraded.add(socket);
      if (rest.length) socket.write(rest);
      if (head.length) server.write(head);
      server.pipe(socket);
      socket.on('data', (bytes) => this.swallows || server.write(bytes));
    });
    onward.once('response', (answer) => (tell(answer), answer.pipe(socket)));
    onward.once('error', () => socket.destroy());
    onward.end();
  }

  take(request, response) {
    if (this.refuses) return request.socket.destroy();
    const entry = this.#enter(request);
    const { method, path, headers } = entry;
    const instead = this.answer?.(entry);
    if (instead) return response.writeHead(entry.status = instead.status, instead.headers).end(instead.body);
    const onward = forward(this.server.url + path, { method, headers, agent: this.agent, setHost: false });
    onward.on('response', (answer) => {
      entry.status = answer.statusCode;
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      answer.once('error', () => response.destroy());
    });
    onward.once('error', () => response.destroy());
    response.once('close', () => onward.destroy());
    request.pipe(onward);
  }
}

export class Front {
  static async start() {
    const front = new Front();
    front.pages = new Map();
    front.servers = new Map();
    front.https = createServer(makeCertificate(), (request, response) => front.#take(request, response));
    front.https.on('upgrade', (request, socket, head) => {
      const server = front.servers.get(request.headers.host);
      if (server) server.upgrade(request, socket, head);
      else socket.destroy();
    });
    front.https.on('tlsClientError', () => {});
    front.https.listen(0, '127.0.0.1');
    await once(front.https, 'listening');
    front.port = front.https.address().port;
    return front;
  }

  #take(request, response) {
    const server = this.servers.get(request.headers.host);
    if (server) return server.take(request, response);
    const page = this.pages.get(`https://${request.headers.host}${request.url}`);
    if (!page) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...page.headers }).end(page.body);
  }

  /** Puts a server of ours behind its public host. */
  serve(server) {
    const proxied = new Proxied(server);
    this.servers.set(new URL(server.publicUrl).host, proxied);
    return proxied;
  }

  /** Serves this HTML at the address. */
  put(url, body, headers = {}) {
    this.pages.set(new URL(url).href, { body, headers });
    return url;
  }

  stop() {
    this.https.closeAllConnections();
    this.https.close();
  }
}
