// What a map draws with: points fetched once, and WebGL or a plain canvas to put them on.

const fetched = new Map();
const load = (url, read) => {
  if (!fetched.has(url)) {
    fetched.set(url, fetch(url).then((answer) => {
      if (!answer.ok) throw new Error(`${answer.status}`);
      return read(answer);
    }));
    fetched.get(url).catch(() => fetched.delete(url));
    while (fetched.size > 12) fetched.delete(fetched.keys().next().value);
  }
  return fetched.get(url);
};
const floats = (answer) => answer.arrayBuffer().then((bytes) => new Float32Array(bytes));
const shorts = (answer) => answer.arrayBuffer().then((bytes) => new Uint16Array(bytes));
const lines = (answer) => answer.text().then((text) => text.split("\n"));
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

const VERTEX = `attribute vec2 place; attribute vec4 colour; uniform vec2 zoom; uniform vec2 shift; uniform float size;
  varying vec4 tint; void main() { gl_Position = vec4(place * zoom + shift, 0.0, 1.0); gl_PointSize = size; tint = colour; }`;
const FRAGMENT = `precision mediump float; varying vec4 tint; void main() {
  if (length(gl_PointCoord - 0.5) > 0.5) discard; gl_FragColor = vec4(tint.rgb * tint.a, tint.a); }`;

function webgl(canvas) {
  const gl = canvas.getContext("webgl", { premultipliedAlpha: true, preserveDrawingBuffer: true });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const at = (name) => gl.getUniformLocation(program, name);
  const buffers = { place: gl.createBuffer(), colour: gl.createBuffer() };
  const send = (name, values, size, type, normal) => {
    const where = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(where);
    gl.vertexAttribPointer(where, size, type, normal, 0, 0);
  };
  return {
    points: (places, colours) => {
      send("place", places, 2, gl.FLOAT, false);
      send("colour", colours, 4, gl.UNSIGNED_BYTE, true);
    },
    draw: (view, count) => {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform2f(at("zoom"), (2 * view.k) / view.w, (2 * view.k) / view.h);
      gl.uniform2f(at("shift"), (2 * view.x) / view.w - 1, (2 * view.y) / view.h - 1);
      gl.uniform1f(at("size"), view.size * devicePixelRatio);
      gl.drawArrays(gl.POINTS, 0, count);
    },
  };
}

function plain(canvas) {
  const context = canvas.getContext("2d");
  let kept = null;
  return {
    points: (places, colours) => { kept = { places, colours }; },
    draw: (view, count) => {
      const ratio = canvas.width / view.w;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, view.w, view.h);
      for (let i = 0; i < count; i++) {
        const [r, g, b, a] = kept.colours.subarray(4 * i, 4 * i + 4);
        context.fillStyle = `rgb(${r} ${g} ${b} / ${a / 255})`;
        context.fillRect(view.x + kept.places[2 * i] * view.k, view.h - view.y - kept.places[2 * i + 1] * view.k, view.size, view.size);
      }
    },
  };
}
