// The daemon's status page in Chromium: wide and narrow, light and dark, with sites that are well
// and sites that are not, and with a service, a configuration and files that try to write into it.
//
// node run.mjs DAEMON SIM FOLDER: the two programs, and where everything goes, screenshots too.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import axe from 'axe-core';
import { chromium } from 'playwright-core';

const [daemon, sim, folder] = process.argv.slice(2);
const HOSTILE = `<script>document.title='hostile'</script><img src=x onerror="alert(1)">"'&lt;`;
const HOUR = 3_600_000;
const MINUTE = 60_000;
const children = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

const file = (name) => path.join(folder, name);
fs.mkdirSync(folder, { recursive: true });
fs.writeFileSync(file('token'), 'canary-scoped-api-token-5ac1=', { mode: 0o600 });
const now = Date.now();
const span = `oldest = ${now - 60 * HOUR}\nnewest = ${now - MINUTE}\n`;
const acme = await site('acme', `${span}records = 9000\nbursts = [{ records = 1500 }]`);
const globex = await site('globex', `${span}records = 700\ncloud_id = "globex"`);
const service = await others();
fs.writeFileSync(file('consent.json'), consent(), { mode: 0o600 });
fs.symlinkSync('elsewhere', file(`refused ${HOSTILE.replaceAll('/', '')}.json`));
configure('');
const { child, url } = await collect();
await until((text) => /site_quarantined\{site="initech"\} 1/.test(text));
await until((text) => /site="acme"\} 10500\n/.test(text));
for (let minutes = 2; minutes < 14; minutes += 2) await insert(acme, 3, minutes);
await until((text) => /late_records_total\{site="acme"\} 18/.test(text));

const profile = fs.mkdtempSync(file('chromium-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run']
    .concat(['--disable-background-networking', '--disable-component-update', '--disable-sync']),
});
const page = await browser.newPage();
const complaints = [];
page.on('console', (message) => complaints.push(message.text()));
page.on('pageerror', (error) => complaints.push(`${error}`));
page.on('dialog', (dialog) => {
  complaints.push(`a dialog: ${dialog.message()}`);
  dialog.dismiss();
});

await look('/?refresh=off', 'page');
const text = await page.textContent('body');
for (const words of ['suspended', 'failing', 'healthy', 'What to do:']) {
  assert.ok(text.includes(words), `${words} is missing in ${text}`);
}
assert.ok(text.includes('<script>document.title'), 'what a stranger wrote is shown as it is');
assert.match(await page.title(), /^2 sites need attention/);
await keyboard();

fs.appendFileSync(file('config.toml'), `"${HOSTILE.replaceAll('"', "'")}" = 1\n`);
child.kill('SIGHUP');
await page.waitForFunction(() => document.title.length > 0);
await again(async () => {
  await page.goto(`${url}/?refresh=off`);
  return (await page.textContent('body')).includes('is refused');
});
await look('/?refresh=off', 'refused');

configure('well');
child.kill('SIGHUP');
await until((text) => !text.includes('initech') && !/spool_records [1-9]/.test(text));
await again(async () => {
  await page.goto(`${url}/`);
  return (await page.title()).startsWith('All 2 sites are healthy');
});
await look('/', 'well');
assert.equal(await page.evaluate(() => document.querySelectorAll('script').length), 0);
assert.deepEqual(complaints, [], 'the browser has something to complain about');

await browser.close();
child.kill('SIGTERM');
const [code] = await once(child, 'exit');
assert.equal(code, 0);
console.log(`the status page: ok; screenshots in ${folder}`);
process.exit(0);

/** A simulated site of this configuration; its address. */
async function site(name, config) {
  fs.writeFileSync(file(`${name}.sim.toml`), config);
  const child = spawn(sim, ['--config', file(`${name}.sim.toml`)], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const [said] = await once(child.stdout, 'data');
  return `${said}`.match(/^url +(\S+)$/m)[1];
}

/** Records that arrive late. */
async function insert(site, count, minutes) {
  const at = Date.now() - minutes * MINUTE;
  const done = await fetch(`${site}/_sim/records?count=${count}&at=${at}`, { method: 'POST' });
  assert.equal(done.status, 200);
}

/** One that refuses, one that answers nonsense, and one that is read by a consent. */
async function others() {
  const server = http.createServer((request, response) => {
    const json = (status, body) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    if (request.url.includes('/initech/')) return json(401, { message: HOSTILE });
    if (request.url.includes('/umbrella/')) return json(418, { message: HOSTILE });
    if (request.url.includes('/retention')) return json(200, { number: 1, units: 'YEARS' });
    return json(200, { results: [], start: 0, limit: 1000, size: 0, _links: {} });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${server.address().port}`;
}

/** A consent that ends in six days. */
function consent() {
  const day = 24 * HOUR;
  const at = (millis) => new Date(millis).toISOString();
  return JSON.stringify({
    version: 1,
    client_id: 'client',
    client_secret: 'canary-secret',
    site: { cloud_id: 'hooli', name: HOSTILE, url: 'https://hooli.example' },
    consented_at: at(now - 359 * day),
    refresh_token: 'canary-refresh',
    access_token: 'canary-access',
    issued_at: at(now),
    expires_at: at(now + day),
  });
}

/** Writes the configuration: with all that can be wrong, or without. */
function configure(kind) {
  const token = `auth = { kind = "api-token", email = "auditor@example.com", token_file = "${file('token')}" }`;
  const site = (name, id, api, auth = token) =>
    `[[site]]\nname = "${name}"\ncloud_id = "${id}"\napi_url = "${api}"\n${auth}\n`;
  const output = (name) => `[[output]]\nkind = "file"\nformat = "flat"\npath = '''${file(name)}'''\n`;
  const parts = [
    '[collect]\ninterval = "1s"\nretry_base = "1ms"\n',
    site('acme', '5f2c8d1e-7a40-4b6b-9e53-0c1d2e3f4a5b', acme),
    site('globex', 'globex', globex),
    output('flattened.json'),
  ];
  if (kind !== 'well') {
    const oauth = `auth = { kind = "oauth", token_file = "${file('consent.json')}" }`;
    parts.push(
      site('initech', 'initech', service),
      site('umbrella', 'umbrella', service),
      site('hooli', 'hooli', service, oauth),
      site('a-site-whose-name-is-much-longer-than-anybody-would-like-it-to-be', 'hooli', service),
      output(`refused ${HOSTILE.replaceAll('/', '')}.json`),
    );
  }
  fs.writeFileSync(file('config.toml'), parts.join('\n'));
}

/** Starts the daemon; it says where its page is. */
async function collect() {
  const args = ['--config', file('config.toml'), '--state-dir', file('state')];
  const child = spawn(daemon, [...args, '--listen', '127.0.0.1:0', '--log-format', 'json'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { HOME: folder },
  });
  children.push(child);
  const log = fs.createWriteStream(file('daemon.log'));
  let said = '';
  const url = await new Promise((resolve, reject) => {
    child.stderr.on('data', (data) => {
      log.write(data);
      said += data;
      const found = said.match(/status page is at (http:\S+)\//);
      if (found) resolve(found[1]);
    });
    child.on('exit', () => reject(new Error(`it ended: ${said}`)));
  });
  return { child, url };
}

/** Waits until the metrics say so. */
async function until(holds) {
  let text = '';
  await again(async () => {
    text = await (await fetch(`${url}/metrics`)).text();
    return holds(text);
  }).catch(() => assert.fail(text));
}

/** Asks until it is so, for a minute. */
async function again(holds) {
  for (const end = Date.now() + MINUTE; Date.now() < end; ) {
    if (await holds().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`it never was so: ${holds}`);
}

/** Looks at the page as a phone, a desk and a wall show it, in light and dark. */
async function look(place, name) {
  const sizes = { phone: [390, 844], desktop: [1280, 800], wall: [2560, 1440] };
  for (const [size, [width, height]] of Object.entries(sizes)) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const answer = await page.goto(`${url}${place}`);
      assert.match(answer.headers()['content-security-policy'], /default-src 'none'; style-src 'self'/);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${name}: ${wide} pixels wide at ${width}`);
      await page.screenshot({ path: file(`${name}-${size}-${colorScheme}.png`), fullPage: size === 'phone' });
      await accessible(`${name}, ${size}, ${colorScheme}`);
    }
  }
}

/** What an independent checker of accessibility finds. */
async function accessible(where) {
  await page.evaluate(axe.source);
  // The renewal is what the page is for, and can be held still; it is nothing that is too short.
  const found = await page.evaluate(() =>
    globalThis.axe.run(document, { rules: { 'meta-refresh': { enabled: false } } }));
  const said = found.violations.map((it) => `${it.id}: ${it.nodes[0].html} ${it.nodes[0].failureSummary}`);
  assert.deepEqual(said, [], where);
  assert.ok(found.passes.some((it) => it.id === 'color-contrast'), 'contrast was looked at');
}

/** What there is to follow can be reached with the keyboard alone, and is seen when it is. */
async function keyboard() {
  const reached = [];
  for (let step = 0; step < 2; step += 1) {
    await page.keyboard.press('Tab');
    reached.push(
      await page.evaluate(() => {
        const { outlineStyle } = getComputedStyle(document.activeElement);
        return `${document.activeElement.textContent} ${outlineStyle}`;
      }),
    );
  }
  assert.deepEqual(reached, ['Resume refresh solid', 'Metrics solid']);
}
