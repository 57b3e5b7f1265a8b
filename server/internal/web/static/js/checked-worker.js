// The service worker behind checked playback. It knows nothing and keeps nothing: what is asked for below /checked/ it asks of the page
// that asked (checked.js), which fetches and checks, and passes the bytes on as they are wanted. The browser may end it at any time.
// It remembers the first parts of the last recordings for a minute, so that a page that is opened again need not fetch them: the page hashes
// them again all the same.
'use strict';

const PATIENCE = 30000; // milliseconds for the page's first word
const REMEMBERED = 4;   // parts
const FORGOTTEN = 60000; // milliseconds after which a part is forgotten
const remembered = new Map(); // the oldest first

self.addEventListener('install', event => {
  self.skipWaiting();
  // Everything else need not wake this worker.
  if (event.addRoutes) event.waitUntil(event.addRoutes({condition: {not: {urlPattern: '/checked/*'}}, source: 'network'}).catch(() => {}));
});
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));
self.addEventListener('message', event => {
  const {data, ports} = event;
  if (data === 'claim') event.waitUntil(self.clients.claim());
  if (data?.recall) {
    const bytes = remembered.get(data.recall)?.slice(); // a copy to give away: taking over is quicker for the page than copying
    ports[0].postMessage(bytes ?? null, bytes ? [bytes.buffer] : []);
  }
  if (data?.remember) {
    remembered.delete(data.remember);
    remembered.set(data.remember, data.bytes);
    while (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value);
    setTimeout(() => { if (remembered.get(data.remember) === data.bytes) remembered.delete(data.remember); }, FORGOTTEN);
  }
});
self.addEventListener('fetch', event => {
  const url = new URL(event.request.url);
  const session = url.origin === self.location.origin && url.pathname.match(/^\/checked\/([0-9a-f-]{36})\//);
  if (session) event.respondWith(answer(event, session[1]));
});

async function answer(event, session) {
  const page = await self.clients.get(event.clientId);
  if (!page) return Response.error();
  const {port1: port, port2} = new MessageChannel();
  page.postMessage({checked: session, range: event.request.headers.get('range')}, [port2]);
  const head = await new Promise(resolve => {
    port.onmessage = message => resolve(message.data);
    setTimeout(resolve, PATIENCE, null);
  });
  if (!head) return Response.error();
  if (!head.length) return new Response(null, head);
  return new Response(new ReadableStream({
    pull: controller => new Promise(resolve => {
      port.onmessage = ({data}) => {
        if (data.failed) {
          controller.error(new Error(data.failed));
        } else {
          controller.enqueue(data.bytes);
          if (data.last) controller.close();
        }
        if (data.failed || data.last) port.close();
        resolve();
      };
      port.postMessage('more');
    }),
    cancel: () => { port.postMessage('enough'); port.close(); },
  }, {highWaterMark: 0}), head);
}
