// The pictures on the player's buttons. Drawn, for not every system has letters for them.

const paths = {
  begin: 'M5 5h2v14H5zM19 5v14L8 12z',
  back: 'M12 5v14l-9-7zM21 5v14l-9-7z',
  'frame-back': 'M15 5v14l-9-7zM17 5h2v14h-2z',
  play: 'M7 4l13 8-13 8z',
  pause: 'M6 4h4v16H6zM14 4h4v16h-4z',
  'frame-on': 'M5 5h2v14H5zM9 5l9 7-9 7z',
  on: 'M3 5l9 7-9 7zM12 5l9 7-9 7z',
  end: 'M5 5l11 7-11 7zM17 5h2v14h-2z',
  'in-here': 'M5 4h8v2H7v12h6v2H5zM11 11h5V8l5 4-5 4v-3h-5z',
  'out-here': 'M19 4h-8v2h6v12h-6v2h8zM3 11h5V8l5 4-5 4v-3H3z',
  loop: 'M4 7h12V4l5 4-5 4V9H6v4H4zM20 17H8v3l-5-4 5-4v3h10v-4h2z',
  clear: 'M5 6.4 6.4 5l5.6 5.6L17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6l5.6-5.6z',
  mark: 'M6 3h2v18H6zM9 4h11l-3 4 3 4H9z',
  picture: 'M3 7h5l2-3h4l2 3h5v13H3zM12 9a4.5 4.5 0 1 0 .01 0z',
  silent: 'M4 9h4l5-5v16l-5-5H4zM15 8v8a4 4 0 0 0 0-8z',
  full: 'M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z',
  closer: 'M11 4h2v7h7v2h-7v7h-2v-7H4v-2h7z',
  wider: 'M4 11h16v2H4z',
};

// icon returns a picture, or a letter where there is none.
export function icon(name) {
  if (!paths[name]) return document.createTextNode('?');
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg'), path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  for (const [k, v] of Object.entries({ viewBox: '0 0 24 24', width: 20, height: 20, fill: 'currentColor', 'aria-hidden': 'true' })) svg.setAttribute(k, v);
  path.setAttribute('d', paths[name]);
  path.setAttribute('fill-rule', 'evenodd');
  svg.append(path);
  return svg;
}
