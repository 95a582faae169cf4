"use strict";

// The page of an exploration: a map of points, lists of findings, and details of one picture. All text from the table
// is put in by `textContent`, so that none of it can become markup.

const $ = (id) => document.getElementById(id);
const DASH = "\u2013";
const CATEGORY_COLOURS = 10;
const NEIGHBOURS_SHOWN = 12;
const CARDS_AT_ONCE = 60;
const FRAME_MILLISECONDS = 25;
const LEAST_COVERED = 0.5;
const MOST_ENLARGED = 2.5;
const SETTLED_MILLISECONDS = 160;
const SCALE_STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null));
  return made;
}

function button(text, onclick, className) {
  const made = element("button", className, text);
  made.type = "button";
  made.onclick = onclick;
  return made;
}

function numbers(base64, kind) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new kind(bytes.buffer);
}

async function unpacked(base64) {
  const packed = new Blob([numbers(base64, Uint8Array)]);
  return new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

const short = (value) => (value === null || Number.isNaN(value) ? DASH : Number(value.toPrecision(3)).toString());
// A distance or a margin, always with three digits that count.
const measured = (value) => (value === 0 ? "0" : value.toPrecision(3));
const counted = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** The images of the page, by their numbers. */
class Images {
  constructor(data) {
    this.count = data.count;
    this.x = numbers(data.x, Uint16Array);
    this.y = numbers(data.y, Uint16Array);
    this.width = numbers(data.width, Int32Array);
    this.height = numbers(data.height, Int32Array);
    this.thumbs = numbers(data.thumbs, Int32Array);
    this.isPictured = this.thumbs.some((place) => place >= 0);
    this.neighbours = numbers(data.neighbours, Int32Array);
    this.distances = numbers(data.distances, Float32Array);
    this.k = this.count ? this.neighbours.length / this.count : 0;
    this.side = data.side;
    this.perRow = data.per_row;
    this.uriStart = data.uris.start;
    this.uriRests = data.uris.rests;
    this.columns = data.columns.map((column) => ({
      ...column,
      values: numbers(column.values, column.kind === "number" ? Float32Array : Int32Array),
    }));
  }

  uri(image) {
    return this.uriStart + this.uriRests[image];
  }

  name(image) {
    const uri = this.uri(image);
    return uri.slice(uri.lastIndexOf("/") + 1) || uri;
  }

  text(column, image) {
    const value = column.values[image];
    if (column.kind === "number") return short(value);
    return value < 0 ? DASH : column.names[value];
  }

  summary(image) {
    const shown = this.columns.filter((column) => column.name === "label" || column.name === "labels" || column.name === "split");
    return shown.map((column) => this.text(column, image)).filter((text) => text !== DASH).join(" · ");
  }

  near(image) {
    const found = [];
    for (let place = image * this.k; place < (image + 1) * this.k; place++) {
      if (this.neighbours[place] >= 0) found.push([this.neighbours[place], this.distances[place]]);
    }
    return found.slice(0, NEIGHBOURS_SHOWN);
  }

  /** The picture of a place on the sheets, drawn out to the proportions of its image. */
  thumbOf(place, width, height, size, label) {
    const box = element("span", "thumb");
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", label);
    const longer = Math.max(width, height) || 1;
    const w = width ? Math.max(Math.round((size * width) / longer), 6) : size;
    const h = height ? Math.max(Math.round((size * height) / longer), 6) : size;
    box.style.width = `${w}px`;
    box.style.height = `${h}px`;
    if (place < 0) {
      box.classList.add("blank");
      box.textContent = size > 60 ? "no picture" : "";
      return box;
    }
    const perSheet = this.perRow * this.perRow;
    const sheet = Math.floor(place / perSheet);
    const row = Math.floor((place % perSheet) / this.perRow);
    const column = place % this.perRow;
    const picture = element("img");
    picture.alt = "";
    picture.decoding = "async";
    picture.draggable = false;
    picture.src = `sheet-${String(sheet).padStart(4, "0")}.webp`;
    picture.onload = () => { picture.style.height = `${(picture.naturalHeight / this.side) * h}px`; };
    picture.onerror = () => { picture.remove(); box.classList.add("blank"); };
    picture.style.width = `${this.perRow * w}px`;
    picture.style.left = `${-column * w}px`;
    picture.style.top = `${-row * h}px`;
    box.append(picture);
    return box;
  }

  thumb(image, size) {
    return this.thumbOf(this.thumbs[image], this.width[image], this.height[image], size, this.name(image));
  }
}

/** What colour each point has, and its legend. */
class Colours {
  constructor(images) {
    this.images = images;
    this.rgb = new Uint8Array(images.count * 4);
    this.only = null;
  }

  choose(column) {
    this.column = column;
    this.only = null;
    if (column && column.kind === "category") this.rank();
    this.paint();
  }

  rank() {
    const counts = new Map();
    for (const value of this.column.values) counts.set(value, (counts.get(value) || 0) + 1);
    this.ranked = [...counts.entries()].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    this.rankOf = new Map(this.ranked.map(([value], rank) => [value, rank]));
  }

  paint() {
    const { count } = this.images;
    const grey = parsed(style("--faint"));
    const palette = Array.from({ length: CATEGORY_COLOURS }, (_, rank) => parsed(style(`--c${rank}`)));
    const [least, most] = this.column && this.column.kind === "number" ? bounds(this.column.values) : [0, 1];
    for (let image = 0; image < count; image++) {
      let colour = palette[0];
      let shown = true;
      if (this.column) {
        const value = this.column.values[image];
        if (this.column.kind === "number") {
          colour = Number.isNaN(value) ? grey : scaled((value - least) / (most - least || 1));
        } else {
          const rank = this.rankOf.get(value);
          colour = value < 0 || rank >= CATEGORY_COLOURS ? grey : palette[rank];
          shown = this.only === null || this.only === value;
        }
      }
      this.rgb.set([colour[0], colour[1], colour[2], shown ? 255 : 0], image * 4);
    }
  }

  shows(image) {
    return this.rgb[image * 4 + 3] > 0;
  }

  legend(onchange) {
    const list = element("div", "legend");
    if (!this.column) return list;
    if (this.column.kind === "number") {
      const [least, most] = bounds(this.column.values);
      list.append(element("span", "", short(least)), element("span", "scale"), element("span", "", short(most)));
      return list;
    }
    this.ranked.slice(0, CATEGORY_COLOURS).forEach(([value, count], rank) => {
      const name = value < 0 ? "none" : this.column.names[value];
      const swatch = element("span", `swatch ${value < 0 ? "grey" : `c${rank}`}`);
      const item = button("", () => { this.only = this.only === value ? null : value; onchange(); }, "item");
      item.append(swatch, element("span", "name", name), element("span", "count", count.toLocaleString("en")));
      item.setAttribute("aria-pressed", String(this.only === value));
      item.title = `Show only ${name}`;
      list.append(item);
    });
    const rest = this.ranked.length - CATEGORY_COLOURS;
    if (rest > 0) list.append(element("span", "note", `and ${counted(rest, "more value", "more values")}, grey`));
    return list;
  }
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const parsed = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** The address of a file: its name is taken as it is, whatever is in it. */
function address(uri) {
  if (!uri.startsWith("file://")) return uri;
  return uri.split("/").map((part, at) => (at < 3 ? part : encodeURIComponent(part))).join("/");
}

/** The least and the greatest of numbers that are finite. */
function bounds(values) {
  let least = Infinity;
  let most = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return least <= most ? [least, most] : [0, 1];
}

function scaled(share) {
  const place = Math.min(Math.max(share, 0), 1) * (SCALE_STOPS.length - 1);
  const lower = Math.min(Math.floor(place), SCALE_STOPS.length - 2);
  return SCALE_STOPS[lower].map((value, channel) => Math.round(value + (SCALE_STOPS[lower + 1][channel] - value) * (place - lower)));
}

const VERTEX = `
attribute vec2 place; attribute vec4 colour; uniform vec2 scale; uniform vec2 shift; uniform float size; varying vec4 c;
void main() { c = colour; gl_Position = vec4(place * scale + shift, 0.0, 1.0); gl_PointSize = colour.a > 0.5 ? size : 0.0; }`;
const FRAGMENT = `
precision mediump float; varying vec4 c;
void main() {
  float r = length(gl_PointCoord - 0.5); if (c.a < 0.5 || r > 0.5) discard;
  float a = 0.85 * (1.0 - smoothstep(0.38, 0.5, r)); gl_FragColor = vec4(c.rgb * a, a); }`;

/** An order in which the first of many are spread among all, always the same. */
function scattered(count) {
  const order = Uint32Array.from({ length: count }, (_, at) => at);
  let state = 2017;
  for (let at = count - 1; at > 0; at--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = Math.floor((state / 4294967296) * (at + 1));
    [order[at], order[other]] = [order[other], order[at]];
  }
  return order;
}

/** Draws points with WebGL. */
class PointsByWebGL {
  constructor(canvas, images, colours) {
    const gl = canvas.getContext("webgl", { antialias: false, premultipliedAlpha: true });
    if (!gl) throw new Error("no WebGL");
    this.gl = gl;
    this.count = images.count;
    this.colours = colours;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("no shaders");
    gl.useProgram(program);
    this.uniforms = Object.fromEntries(["scale", "shift", "size"].map((name) => [name, gl.getUniformLocation(program, name)]));
    this.order = scattered(images.count);
    const places = new Uint16Array(images.count * 2);
    this.order.forEach((image, at) => { places[2 * at] = images.x[image]; places[2 * at + 1] = images.y[image]; });
    this.attribute(program, "place", places, 2, gl.UNSIGNED_SHORT);
    this.colourBuffer = this.attribute(program, "colour", this.ordered(), 4, gl.UNSIGNED_BYTE);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  attribute(program, name, values, size, kind) {
    const { gl } = this;
    const buffer = gl.createBuffer();
    const place = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, kind, true, 0, 0);
    return buffer;
  }

  /** The colours in the order in which points are drawn, four bytes taken as one number. */
  ordered() {
    const colours = new Uint32Array(this.colours.rgb.buffer);
    return Uint32Array.from(this.order, (image) => colours[image]);
  }

  recolour() {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.colourBuffer);
    gl.bufferData(gl.ARRAY_BUFFER, this.ordered(), gl.STATIC_DRAW);
  }

  /** The milliseconds that it takes to draw all points: without a graphics card they are more than a frame has. */
  taken(view, size) {
    const { gl } = this;
    const drawn = () => {
      this.draw(view, size);
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));  // Waits until it is drawn.
    };
    drawn();
    const started = performance.now();
    drawn();
    return performance.now() - started;
  }

  draw(view, size) {
    const { gl } = this;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(this.uniforms.scale, 2 * view.scaleX, -2 * view.scaleY);
    gl.uniform2f(this.uniforms.shift, 2 * view.shiftX - 1, 1 - 2 * view.shiftY);
    gl.uniform1f(this.uniforms.size, size);
    gl.drawArrays(gl.POINTS, 0, this.count);
  }
}

/** Draws points where there is no WebGL. */
class PointsByCanvas {
  constructor(canvas, images, colours) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.images = images;
    this.colours = colours;
  }

  recolour() {}

  taken(view, size) {
    const started = performance.now();
    this.draw(view, size);
    return performance.now() - started;
  }

  draw(view, size) {
    const { context, canvas, images, colours } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (let image = 0; image < images.count; image++) {
      if (!colours.shows(image)) continue;
      const x = ((images.x[image] / 65535) * view.scaleX + view.shiftX) * canvas.width;
      const y = ((images.y[image] / 65535) * view.scaleY + view.shiftY) * canvas.height;
      if (x < 0 || y < 0 || x > canvas.width || y > canvas.height) continue;
      const [r, g, b] = colours.rgb.subarray(image * 4, image * 4 + 3);
      context.fillStyle = `rgb(${r},${g},${b})`;
      context.fillRect(x - size / 2, y - size / 2, size, size);
    }
  }
}

/** The map: points that can be moved, enlarged, pointed at and encircled. */
class PointMap {
  constructor(images, colours, events) {
    this.images = images;
    this.colours = colours;
    this.events = events;
    this.canvas = $("points");
    this.marks = $("marks");
    this.zoom = 1;
    this.centre = [0.5, 0.5];
    this.marked = new Set();
    this.focused = -1;
    this.hovered = -1;
    this.lasso = null;
    this.lassoMode = false;
    this.pointers = new Map();
    this.frames = [];
    this.movedAt = -Infinity;
    this.index();
    try {
      this.points = new PointsByWebGL(this.canvas, images, colours);
    } catch {
      const fresh = this.canvas.cloneNode();
      this.canvas.replaceWith(fresh);
      this.canvas = fresh;
      this.points = new PointsByCanvas(this.canvas, images, colours);
    }
    this.listen();
    this.resize();
  }

  /** Puts the points into cells of a grid, by which the one under the pointer is found. */
  index() {
    const { count, x, y } = this.images;
    const [left, right] = bounds(x);
    const [top, bottom] = bounds(y);
    this.spread = [right - left, bottom - top].map((side) => Math.max(side / 65535, 0.05));
    this.cellStarts = new Int32Array(256 * 256 + 1);
    for (let image = 0; image < count; image++) this.cellStarts[(y[image] >> 8) * 256 + (x[image] >> 8) + 1]++;
    for (let cell = 0; cell < 65536; cell++) this.cellStarts[cell + 1] += this.cellStarts[cell];
    const next = this.cellStarts.slice();
    this.cells = new Int32Array(count);
    for (let image = 0; image < count; image++) this.cells[next[(y[image] >> 8) * 256 + (x[image] >> 8)]++] = image;
  }

  resize() {
    const { width, height } = this.marks.parentElement.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    this.width = width;
    this.height = height;
    this.ratio = ratio;
    for (const canvas of [this.canvas, this.marks]) {
      canvas.width = Math.max(Math.round(width * ratio), 1);
      canvas.height = Math.max(Math.round(height * ratio), 1);
    }
    this.drawn = null;
    this.redraw();
  }

  /** How places on the map, 0 to 1, become shares of the canvas; the map keeps its proportions, and fills the canvas. */
  view() {
    const side = Math.min(this.width / this.spread[0], this.height / this.spread[1]) * 0.94 * this.zoom;
    const scaleX = side / this.width;
    const scaleY = side / this.height;
    return { scaleX, scaleY, shiftX: 0.5 - this.centre[0] * scaleX, shiftY: 0.5 - this.centre[1] * scaleY };
  }

  placeOf(image, view = this.view()) {
    return [
      ((this.images.x[image] / 65535) * view.scaleX + view.shiftX) * this.width,
      ((this.images.y[image] / 65535) * view.scaleY + view.shiftY) * this.height,
    ];
  }

  mapPlace(px, py, view = this.view()) {
    return [(px / this.width - view.shiftX) / view.scaleX, (py / this.height - view.shiftY) / view.scaleY];
  }

  pointSize() {
    const base = Math.max(Math.min(330 / Math.sqrt(this.images.count + 1), 9), 2.4);
    return Math.min(base * Math.pow(this.zoom, 0.35), 16);
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame((now) => {
      this.waiting = false;
      this.frames.push(now);
      if (this.frames.length > 240) this.frames.shift();
      const view = this.view();
      if (!this.isMoving(now) || !this.shift(view)) this.drawPoints(view);
      this.drawMarks(view);
    });
  }

  /** Whether the map is being moved; a moment later all points are drawn. */
  isMoving(now) {
    if (now - this.movedAt >= SETTLED_MILLISECONDS) return false;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.redraw(), SETTLED_MILLISECONDS + 10);
    return true;
  }

  drawPoints(view) {
    this.points.draw(view, this.pointSize() * this.ratio);
    this.canvas.style.transform = "";
    this.drawn = view;
  }

  /** Moves what was drawn last to where it belongs, where drawing takes long; false where it has to be drawn again. */
  shift(view) {
    const { drawn } = this;
    if (!drawn) return false;
    this.isSlow ??= this.points.taken(drawn, this.pointSize() * this.ratio) > FRAME_MILLISECONDS;
    const [zoomX, zoomY] = [view.scaleX / drawn.scaleX, view.scaleY / drawn.scaleY];
    const [left, top] = [view.shiftX - drawn.shiftX * zoomX, view.shiftY - drawn.shiftY * zoomY];
    const covered = overlap(left, zoomX) * overlap(top, zoomY);
    if (!this.isSlow || covered < LEAST_COVERED || zoomX > MOST_ENLARGED) return false;
    this.canvas.style.transform = `translate(${left * this.width}px, ${top * this.height}px) scale(${zoomX}, ${zoomY})`;
    return true;
  }

  moved() {
    this.movedAt = performance.now();
    this.redraw();
  }

  drawMarks(view) {
    const areSome = this.marked.size > 0 || this.hovered >= 0 || this.focused >= 0 || this.lasso !== null;
    if (!areSome && !this.hasMarks) return;
    this.hasMarks = areSome;
    const context = this.marks.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const ring = (image, radius, width, colour) => {
      const [x, y] = this.placeOf(image, view);
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
    };
    const ink = style("--ink");
    const radius = this.pointSize() / 2 + 3;
    let drawn = 0;
    for (const image of this.marked) {
      if (drawn++ > 2000) break;
      ring(image, radius, 1.5, ink);
    }
    if (this.hovered >= 0) ring(this.hovered, radius + 1, 2, ink);
    if (this.focused >= 0) {
      for (const [image] of this.images.near(this.focused)) {
        const [from, to] = [this.placeOf(this.focused, view), this.placeOf(image, view)];
        context.beginPath();
        context.moveTo(...from);
        context.lineTo(...to);
        context.lineWidth = 1;
        context.strokeStyle = style("--faint");
        context.stroke();
      }
      ring(this.focused, radius + 3, 3, style("--accent"));
    }
    if (this.lasso) {
      context.beginPath();
      this.lasso.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
      context.fillStyle = style("--veil");
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = style("--accent");
      context.stroke();
    }
  }

  /** The shown image that is nearest to a place of the canvas, at most some pixels away; -1 where there is none. */
  at(px, py, reach = 14) {
    const view = this.view();
    const [fromX, fromY] = this.mapPlace(px - reach, py - reach, view).map((share) => Math.floor(share * 256) - 1);
    const [toX, toY] = this.mapPlace(px + reach, py + reach, view).map((share) => Math.floor(share * 256) + 1);
    let best = -1;
    let nearest = reach * reach;
    for (let row = Math.max(fromY, 0); row <= Math.min(toY, 255); row++) {
      const first = row * 256 + Math.max(Math.min(fromX, 255), 0);
      const last = row * 256 + Math.max(Math.min(toX, 255), 0);
      for (let at = this.cellStarts[first]; at < this.cellStarts[last + 1]; at++) {
        const image = this.cells[at];
        if (!this.colours.shows(image)) continue;
        const [x, y] = this.placeOf(image, view);
        const distance = (x - px) ** 2 + (y - py) ** 2;
        if (distance < nearest) {
          nearest = distance;
          best = image;
        }
      }
    }
    return best;
  }

  zoomAt(px, py, factor) {
    const [x, y] = this.mapPlace(px, py);
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.5), 400);
    const [x2, y2] = this.mapPlace(px, py);
    this.centre = [this.centre[0] + x - x2, this.centre[1] + y - y2];
    this.moved();
  }

  pan(dx, dy) {
    const view = this.view();
    this.centre = [this.centre[0] - dx / this.width / view.scaleX, this.centre[1] - dy / this.height / view.scaleY];
    this.moved();
  }

  whole() {
    this.zoom = 1;
    this.centre = [0.5, 0.5];
    this.redraw();
  }

  focus(image) {
    this.focused = image;
    if (image >= 0) {
      const [x, y] = this.placeOf(image);
      if (x < 20 || y < 20 || x > this.width - 20 || y > this.height - 20) {
        this.centre = [this.images.x[image] / 65535, this.images.y[image] / 65535];
      }
    }
    this.redraw();
  }

  mark(images) {
    this.marked = new Set(images);
    this.redraw();
  }

  /** The shown image nearest to the focused one in a direction: what an arrow key goes to. */
  towards(dx, dy) {
    if (this.focused < 0) return this.at(this.width / 2, this.height / 2, 1e6);
    const view = this.view();
    const [x, y] = this.placeOf(this.focused, view);
    let best = -1;
    let least = Infinity;
    for (let image = 0; image < this.images.count; image++) {
      if (image === this.focused || !this.colours.shows(image)) continue;
      const [x2, y2] = this.placeOf(image, view);
      const along = (x2 - x) * dx + (y2 - y) * dy;
      const across = Math.abs((x2 - x) * dy - (y2 - y) * dx);
      if (along > 0.5 && along >= across && along + 2 * across < least) {
        least = along + 2 * across;
        best = image;
      }
    }
    return best;
  }

  listen() {
    const area = this.marks;
    const place = (event) => {
      const box = area.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    area.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomAt(...place(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)));
    }, { passive: false });
    area.addEventListener("pointerdown", (event) => {
      area.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      this.travelled = 0;
      if ((this.lassoMode || event.shiftKey) && this.pointers.size === 1) this.lasso = [place(event)];
      this.events.leave();
    });
    area.addEventListener("pointermove", (event) => this.move(event, place(event)));
    const up = (event) => {
      if (!this.pointers.delete(event.pointerId)) return;
      if (this.lasso) {
        this.close();
      } else if (event.type === "pointerup" && this.travelled < 6) {
        const image = this.at(...place(event), event.pointerType === "touch" ? 24 : 14);
        if (image >= 0) this.events.open(image);
      }
    };
    area.addEventListener("pointerup", up);
    area.addEventListener("pointercancel", up);
    area.addEventListener("pointerleave", () => { this.hovered = -1; this.events.leave(); this.redraw(); });
    area.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(area.parentElement);
  }

  move(event, [px, py]) {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      const image = event.pointerType === "touch" ? -1 : this.at(px, py);
      if (image !== this.hovered) {
        this.hovered = image;
        this.redraw();
      }
      if (image >= 0) this.events.hover(image, event.clientX, event.clientY);
      else this.events.leave();
      return;
    }
    const [dx, dy] = [px - before[0], py - before[1]];
    this.travelled += Math.abs(dx) + Math.abs(dy);
    if (this.lasso) {
      this.lasso.push([px, py]);
      this.redraw();
    } else if (this.pointers.size === 2) {
      const other = [...this.pointers.entries()].find(([id]) => id !== event.pointerId)[1];
      const spread = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
      this.pan(dx / 2, dy / 2);
      this.zoomAt((px + other[0]) / 2, (py + other[1]) / 2, spread([px, py]) / spread(before));
    } else {
      this.pan(dx, dy);
    }
    this.pointers.set(event.pointerId, [px, py]);
  }

  /** Ends the encircling: the images inside are chosen. */
  close() {
    const outline = this.lasso;
    this.lasso = null;
    const view = this.view();
    const inside = [];
    if (outline.length > 2) {
      for (let image = 0; image < this.images.count; image++) {
        if (this.colours.shows(image) && isInside(outline, this.placeOf(image, view))) inside.push(image);
      }
    }
    this.redraw();
    this.events.choose(inside);
  }

  key(event) {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in directions) {
      const [dx, dy] = directions[event.key];
      if (event.shiftKey) this.pan(-60 * dx, -60 * dy);
      else this.events.focus(this.towards(dx, dy));
    } else if (event.key === "Enter" && this.focused >= 0) {
      this.events.open(this.focused);
    } else if (event.key === "+" || event.key === "=") {
      this.zoomAt(this.width / 2, this.height / 2, 1.4);
    } else if (event.key === "-") {
      this.zoomAt(this.width / 2, this.height / 2, 1 / 1.4);
    } else if (event.key === "0") {
      this.whole();
    } else {
      return;
    }
    event.preventDefault();
  }
}

/** How much of 0 to 1 is covered by what begins at a place and has a length. */
function overlap(start, length) {
  return Math.max(Math.min(start + length, 1) - Math.max(start, 0), 0);
}

function isInside(outline, [x, y]) {
  let inside = false;
  for (let at = 0, before = outline.length - 1; at < outline.length; before = at++) {
    const [x1, y1] = outline[at];
    const [x2, y2] = outline[before];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}

/** Everything around the map. */
class Page {
  constructor(data) {
    this.data = data;
    this.images = new Images(data);
    this.colours = new Colours(this.images);
    this.colours.choose(this.images.columns[0] || null);
    this.map = new PointMap(this.images, this.colours, {
      hover: (image, x, y) => this.hover(image, x, y),
      leave: () => { $("hover").hidden = true; },
      open: (image) => this.open(image),
      focus: (image) => this.focus(image),
      choose: (chosen) => this.choose(chosen, "selected"),
    });
    this.controls();
    this.findings();
    this.legend();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("scroll", () => { $("hover").hidden = true; });
  }

  controls() {
    const select = $("colour");
    this.images.columns.forEach((column, at) => select.append(new Option(column.name, String(at))));
    select.onchange = () => {
      this.colours.choose(this.images.columns[Number(select.value)]);
      this.recolour();
    };
    $("lasso").onclick = () => this.lassoMode(!this.map.lassoMode);
    $("whole").onclick = () => this.map.whole();
    $("closer").onclick = () => this.map.zoomAt(this.map.width / 2, this.map.height / 2, 1.5);
    $("farther").onclick = () => this.map.zoomAt(this.map.width / 2, this.map.height / 2, 1 / 1.5);
    $("search").oninput = () => this.search($("search").value);
    $("search").onkeydown = (event) => {
      if (event.key === "Enter" && this.hits && this.hits.length) this.open(this.hits[0]);
      if (event.key === "Escape") { $("search").value = ""; this.search(""); $("marks").focus(); }
    };
    $("close").onclick = () => $("details").close();
    $("details").addEventListener("click", (event) => { if (event.target === $("details")) $("details").close(); });
  }

  recolour() {
    this.colours.paint();
    this.map.points.recolour();
    this.map.redraw();
    this.legend();
  }

  legend() {
    const legend = this.colours.legend(() => this.recolour());
    $("legend").replaceChildren(legend);
  }

  lassoMode(on) {
    this.map.lassoMode = on;
    $("lasso").setAttribute("aria-pressed", String(on));
    $("marks").classList.toggle("encircling", on);
  }

  hover(image, x, y) {
    const card = $("hover");
    if (this.hovered !== image || card.hidden) {
      this.hovered = image;
      const near = element("span", "near");
      for (const [other] of this.images.near(image).slice(0, 4)) near.append(this.images.thumb(other, 36));
      const pictured = this.images.isPictured;  // Else there would be empty boxes alone.
      card.replaceChildren(
        ...(pictured ? [this.images.thumb(image, 128)] : []),
        element("strong", "", this.images.name(image)),
        element("span", "", this.images.summary(image)),
        ...(pictured ? [near] : []),
      );
      card.hidden = false;
    }
    const box = card.getBoundingClientRect();
    card.style.left = `${Math.max(8, x + 18 + box.width > innerWidth ? x - box.width - 18 : x + 18)}px`;
    card.style.top = `${Math.max(8, Math.min(y - 30, innerHeight - box.height - 8))}px`;
  }

  focus(image) {
    if (image < 0) return;
    this.map.focus(image);
    $("said").textContent = `${this.images.name(image)}, ${this.images.summary(image)}`;
    const [x, y] = this.map.placeOf(image);
    const box = $("marks").getBoundingClientRect();
    this.hover(image, box.left + x, box.top + y);
  }

  /** Shows an image large, with everything that is known of it and its nearest twelve. */
  open(image) {
    const { images } = this;
    this.map.focus(image);
    $("hover").hidden = true;
    const uri = images.uri(image);
    const figure = element("div", "large", images.thumb(image, Math.min(innerWidth - 64, 420)));
    if (uri.startsWith("file://")) {
      const picture = new Image();
      picture.alt = images.name(image);
      picture.onload = () => figure.replaceChildren(picture);
      picture.src = address(uri);
    }
    const facts = element("dl");
    const fact = (name, text) => facts.append(element("dt", "", name), element("dd", "", text));
    fact("size", `${images.width[image]} × ${images.height[image]} pixels`);
    for (const column of images.columns) fact(column.name, images.text(column, image));
    const near = element("div", "cards small");
    for (const [other, distance] of images.near(image)) near.append(this.card(other, [measured(distance), images.summary(other)], 84));
    $("details-title").textContent = images.name(image);
    const copy = button("Copy URI", () => copyText(uri, copy));
    const onMap = button("Show on the map", () => { $("details").close(); this.show("map"); this.map.mark([image]); $("marks").focus(); });
    const actions = element("div", "actions", copy, onMap, this.original(uri));
    $("details-body").replaceChildren(
      figure,
      element("div", "facts", element("p", "uri", uri), actions, facts),
      element("div", "nearest", element("h3", "", "Nearest"), near),
    );
    if (!$("details").open) $("details").showModal();
    $("details").scrollTop = 0;
  }

  original(uri) {
    if (!/^(file|https?):\/\//.test(uri)) return null;
    const link = element("a", "", "Open the file");
    link.href = address(uri);
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    return link;
  }

  card(image, lines, size = 112, className = "") {
    const made = button("", () => this.open(image), `card ${className}`.trim());
    if (this.images.isPictured) {
      const frame = element("span", "frame", this.images.thumb(image, size));
      frame.style.minHeight = `${size}px`;
      made.append(frame);
    }
    for (const line of [this.images.name(image), ...lines]) made.append(element("span", "line", line));
    made.title = this.images.uri(image);
    return made;
  }

  choose(chosen, how) {
    this.map.mark(chosen);
    this.lassoMode(false);
    const panel = $("chosen");
    panel.hidden = !chosen.length;
    if (!chosen.length) return;
    const cards = element("div", "cards small");
    more(cards, chosen, (image) => this.card(image, [this.images.summary(image)], 84));
    const uris = () => chosen.map((image) => this.images.uri(image)).join("\n") + "\n";
    const copy = button("Copy URIs", () => copyText(uris(), copy));
    panel.replaceChildren(
      element("div", "head", element("h2", "", `${counted(chosen.length, "image", "images")} ${how}`), copy,
        button("Save as a list", () => save("images.txt", uris())), button("Clear", () => this.choose([], ""))),
      this.breakdown(chosen), cards,
    );
  }

  /** How the chosen images are divided among the values of the column that colours the map. */
  breakdown(chosen) {
    const { column } = this.colours;
    if (!column || column.kind !== "category") return null;
    const counts = new Map();
    for (const image of chosen) {
      const text = this.images.text(column, image);
      counts.set(text, (counts.get(text) || 0) + 1);
    }
    const parts = [...counts.entries()].sort((a, b) => b[1] - a[1]).slice(0, 8);
    return element("p", "note", `${column.name}: ${parts.map(([name, count]) => `${name} ${count.toLocaleString("en")}`).join(", ")}`);
  }

  search(text) {
    const wanted = text.trim().toLowerCase();
    $("hover").hidden = true;
    this.hits = [];
    if (wanted) {
      for (let image = 0; image < this.images.count && this.hits.length < 500; image++) {
        if (this.images.uri(image).toLowerCase().includes(wanted)) this.hits.push(image);
      }
    }
    $("hits").textContent = wanted ? counted(this.hits.length, "image", "images") + (this.hits.length === 500 ? " or more" : "") : "";
    this.choose(this.hits, `with “${text.trim()}” in the URI`);
  }

  findings() {
    const { data } = this;
    this.tabs = ["map", ...[...document.querySelectorAll("section[data-finding]")].map((section) => section.id)];
    for (const tab of document.querySelectorAll("nav button")) tab.onclick = () => this.show(tab.dataset.tab);
    document.querySelector("nav").onkeydown = (event) => this.nextTab(event);
    const groups = (list, target) => more($(target), list, (group) => this.group(group));
    groups(data.groups.filter((group) => group.splits.length > 1), "leak-groups");
    groups(data.groups.filter((group) => group.splits.length < 2), "duplicate-groups");
    more($("issue-cards"), data.issues, (issue) => this.card(issue.image, [`label ${issue.given}`, `suggested ${issue.suggested}`, `margin ${measured(issue.margin)}`]));
    for (const oddity of data.oddities) {
      const found = element("div", "cards");
      more(found, oddity.images, ([image, text]) => this.card(image, [text]));
      $("oddity-lists").append(element("h3", "", oddity.title), element("p", "note", oddity.note), found);
    }
    more($("novel-cards"), data.novel, ({ image, distance }) => this.card(image, [`distance ${measured(distance)}`]));
    more($("failure-cards"), data.failures, (failure) => this.failure(failure));
    this.show("map");
  }

  group(group) {
    const kinds = [counted(group.images.length, "image", "images")];
    if (group.splits.length > 1) kinds.push(`in ${group.splits.join(" and ")}`);
    if (group.labels.length > 1) kinds.push(`labelled ${group.labels.join(" and ")}`);
    if (group.images.every(([, , identical]) => identical)) kinds.push("identical bytes");
    const cards = element("div", "cards small");
    group.images.forEach(([image, distance, identical], at) => {
      const how = at === 0 ? "keep" : identical ? "identical" : `distance ${measured(distance)}`;
      cards.append(this.card(image, [how, this.images.summary(image)], 84, at === 0 ? "kept" : ""));
    });
    if (group.more) cards.append(element("p", "note", `and ${counted(group.more, "more", "more")}`));
    return element("div", "group", element("h3", "", kinds.join(", ")), cards);
  }

  failure(failure) {
    const made = element("div", "card", element("span", "frame", this.images.thumbOf(failure.thumb, 0, 0, 112, failure.uri)));
    for (const line of [failure.code, failure.uri.slice(failure.uri.lastIndexOf("/") + 1), failure.message]) {
      made.append(element("span", "line", line));
    }
    made.title = failure.uri;
    return made;
  }

  /** Arrow keys go from one tab to the next, as in the pattern of tabs that screen readers know. */
  nextTab(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const at = this.tabs.indexOf(event.target.dataset.tab);
    if (!step || at < 0) return;
    const tab = this.tabs[(at + step + this.tabs.length) % this.tabs.length];
    this.show(tab);
    $(`tab-${tab}`).focus();
    event.preventDefault();
  }

  show(tab) {
    for (const name of this.tabs) $(name).hidden = name !== tab;
    for (const each of document.querySelectorAll("nav button")) each.setAttribute("aria-selected", String(each.dataset.tab === tab));
    $(`tab-${tab}`).scrollIntoView({ block: "nearest", inline: "center" });
    $("hover").hidden = true;
    if (tab === "map") this.map.resize();
  }

  key(event) {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (typing || event.ctrlKey || event.metaKey || event.altKey || $("details").open) return;
    if (event.key === "/") $("search").focus();
    else if (event.key.toLowerCase() === "l") this.lassoMode(!this.map.lassoMode);
    else if (event.key === "Escape") this.choose([], "");
    else if (/^[1-9]$/.test(event.key) && this.tabs[Number(event.key) - 1]) this.show(this.tabs[Number(event.key) - 1]);
    else return;
    event.preventDefault();
  }
}

/** Puts the cards of a list into an element, some at a time. */
function more(target, list, made, from = 0) {
  if (!target) return;
  target.append(...list.slice(from, from + CARDS_AT_ONCE).map(made));
  const rest = list.length - from - CARDS_AT_ONCE;
  if (rest <= 0) return;
  const among = rest > CARDS_AT_ONCE ? ` of ${rest.toLocaleString("en")}` : "";
  const next = button(`Show ${Math.min(rest, CARDS_AT_ONCE)} more${among}`, () => {
    next.remove();
    more(target, list, made, from + CARDS_AT_ONCE);
  }, "more");
  target.append(next);
}

async function copyText(text, pressed) {
  const before = pressed.textContent;
  try {
    await navigator.clipboard.writeText(text);
    pressed.textContent = "Copied";
  } catch {
    pressed.textContent = "Not copied";
  }
  setTimeout(() => { pressed.textContent = before; }, 1500);
}

function save(name, text) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

unpacked($("data").textContent)
  .then((data) => { window.page = new Page(data); document.body.classList.add("ready"); })
  .catch((error) => { $("said").textContent = `This page cannot be shown: ${error.message}`; $("said").classList.add("error"); });
