// The set-up of OAuth and the rotation of its tokens, with parts that are not ours: the
// authorization server oidc-provider, with rotation and reuse detection on, and Chromium.
//
// node run.mjs SETUP COLLECTOR FOLDER: the two programs, and where screenshots go.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';

import Provider from 'oidc-provider';
import { chromium } from 'playwright-core';

const REFRESHES = Number(process.env.OAUTH_REFRESHES ?? 200);
const SCOPE = 'read:audit-log:confluence';
const CLOUD_ID = '7a1c6f0e-3b52-4d18-9c44-5e2f6a7b8c9d';
const CLIENT = { id: 'provider-client-id', secret: 'canary-provider-secret' };
const RECORD = {
  author: { type: 'user', displayName: 'System' },
  creationDate: 1750000000000,
  summary: 'Consent tried out',
};

const [setup, collector, folder] = process.argv.slice(2);
const state = path.join(folder, 'state');
const secretFile = path.join(folder, 'client.secret');
const tokenFile = path.join(folder, 'provider.oauth.json');
fs.mkdirSync(folder, { recursive: true });
fs.writeFileSync(secretFile, CLIENT.secret, { mode: 0o600 });
const environment = { PATH: process.env.PATH, HOME: folder };

const redirect = `http://localhost:${await freePort()}/callback`;
const site = await serve(redirect);
const flags = ['--api-url', site.url, '--auth-url', site.url];

await consentInBrowser();
await refreshManyTimes();
await reuseIsDetected();
site.server.close();

/** A port that nobody listens at. */
async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** The authorization server, and beside it the few answers of a site that a set-up needs. */
async function serve(redirectUri) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const provider = new Provider(url, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        redirect_uris: [redirectUri],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    routes: { authorization: '/authorize', token: '/oauth/token' },
    scopes: ['openid', 'offline_access', SCOPE],
    features: { devInteractions: { enabled: true } },
    pkce: { required: () => false },
    rotateRefreshToken: true,
    issueRefreshToken: async () => true,
    ttl: { AccessToken: 60, RefreshToken: 3600, Grant: 3600, Session: 3600, Interaction: 600 },
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  });
  const counts = { issued: 0, refused: 0, revoked: 0, asked: 0 };
  provider.on('grant.success', () => (counts.issued += 1));
  provider.on('grant.error', () => (counts.refused += 1));
  provider.on('grant.revoked', () => (counts.revoked += 1));
  provider.use(async (ctx, next) => {
    if (ctx.path === '/oauth/token') {
      // The service takes JSON; this server takes forms.
      assert.equal(ctx.get('content-type'), 'application/json');
      const pieces = [];
      for await (const piece of ctx.req) pieces.push(piece);
      ctx.req.body = JSON.parse(Buffer.concat(pieces));
      ctx.req.headers['content-type'] = 'application/x-www-form-urlencoded';
      return next();
    }
    const isSites = ctx.path === '/oauth/token/accessible-resources';
    if (!isSites && !ctx.path.startsWith(`/ex/confluence/${CLOUD_ID}/wiki/rest/api/audit`)) {
      return next();
    }
    counts.asked += 1;
    const bearer = ctx.get('authorization').replace(/^Bearer /, '');
    const token = await provider.AccessToken.find(bearer);
    if (!token?.isValid || !token.scopes.has(SCOPE)) {
      ctx.status = 401;
      ctx.body = { code: 401, message: 'Unauthorized' };
    } else if (isSites) {
      ctx.body = [{ id: CLOUD_ID, name: 'provider', url, scopes: [...token.scopes] }];
    } else if (ctx.path.endsWith('/retention')) {
      ctx.body = { number: 1, units: 'YEARS' };
    } else {
      ctx.body = { results: [RECORD], start: 0, limit: 1000, size: 1, _links: { base: url } };
    }
  });
  const server = provider.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { url, server, counts };
}

/** From nothing to a consent, as a person goes through it. */
async function consentInBrowser() {
  const args = ['--client-id', CLIENT.id, '--client-secret-file', secretFile, '--no-browser'];
  args.push('--redirect-uri', redirect, '--token-file', tokenFile, ...flags);
  const child = spawn(setup, args, { env: environment, stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  let config = '';
  child.stdout.on('data', (data) => (config += data));
  const url = await new Promise((resolve, reject) => {
    child.stderr.on('data', (data) => {
      said += data;
      const found = said.match(/^ +(http\S+)$/m);
      if (found) resolve(found[1]);
    });
    child.on('exit', () => reject(new Error(`it ended before it asked: ${said}`)));
  });
  const ended = once(child, 'exit');
  const profile = fs.mkdtempSync(path.join(folder, 'chromium-'));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run']
      .concat(['--disable-background-networking', '--disable-component-update', '--disable-sync']),
  });
  const page = await browser.newPage();
  await page.goto(url);
  await page.fill('input[name=login]', 'auditor');
  await page.fill('input[name=password]', 'any');
  await page.click('button[type=submit]');
  await page.waitForSelector('text=Authorize');
  await page.click('button[type=submit]');
  await page.waitForSelector('main h1');
  assert.equal(await page.textContent('h1'), '✓ Consent received');
  assert.ok(!(await page.content()).includes('canary'));
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: path.join(folder, `consent-${colorScheme}.png`) });
  }
  await browser.close();
  const [code] = await ended;
  assert.equal(code, 0, said);
  assert.ok(!(said + config).includes('canary'));
  assert.match(config, new RegExp(`cloud_id = "${CLOUD_ID}"`));
  console.log(`consent, callback page and exchange: ok; screenshots in ${folder}`);
}

/** What the token file holds. */
function read() {
  return JSON.parse(fs.readFileSync(tokenFile, 'utf8'));
}

/** Runs the collector once with the consent. */
async function collect(command) {
  const args = [command, '--oauth-token-file', tokenFile, '--state-dir', state, ...flags];
  const options = { env: environment, cwd: folder };
  const end = await promisify(execFile)(collector, args, options).catch((error) => error);
  assert.ok(!`${end.stdout}${end.stderr}`.includes('canary'));
  return { code: end.code ?? 0, stdout: end.stdout, stderr: end.stderr };
}

/** Each run finds that its access token has run out, as it would an hour later. */
async function refreshManyTimes() {
  const began = Date.now();
  const { counts } = site;
  const before = counts.issued;
  const seen = new Set([read().refresh_token]);
  for (let number = 0; number < REFRESHES; number += 1) {
    const text = fs.readFileSync(tokenFile, 'utf8');
    const aged = text.replace(/"expires_at": "[^"]*"/, '"expires_at": "2020-01-01T00:00:00Z"');
    fs.writeFileSync(tokenFile, aged);
    const { code, stderr } = await collect('sites');
    assert.equal(code, 0, stderr);
    seen.add(read().refresh_token);
  }
  assert.equal(counts.issued - before, REFRESHES, 'one refresh a run');
  assert.equal(seen.size, REFRESHES + 1, 'each with a token of its own');
  assert.deepEqual([counts.refused, counts.revoked], [0, 0], 'reuse detection was never set off');
  const { code, stdout, stderr } = await collect('fetch');
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'Flattened 1 records into flattened.json\n');
  console.log(`${REFRESHES} refreshes in ${(Date.now() - began) / 1000} s: none refused`);
}

/** That none was refused means something only if the server does refuse. */
async function reuseIsDetected() {
  const { counts } = site;
  const { client_id, client_secret, refresh_token } = read();
  const body = JSON.stringify({ grant_type: 'refresh_token', client_id, client_secret, refresh_token });
  const headers = { 'content-type': 'application/json' };
  const refresh = () => fetch(`${site.url}/oauth/token`, { method: 'POST', headers, body });
  assert.equal((await refresh()).status, 200);
  assert.equal((await refresh()).status, 400);
  assert.equal(counts.revoked, 1, 'the grant is revoked');
  const { code, stderr } = await collect('sites');
  assert.equal(code, 77, stderr);
  assert.match(stderr, /consent again/);
  console.log('a token used twice: the server revokes the consent, and the collector says so');
}
