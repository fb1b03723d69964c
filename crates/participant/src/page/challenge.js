// Finds the text with which SHA-256(nonce + "." + text) begins with `difficulty` zero bits, 32 at most. A page
// on plain http has no crypto.subtle, and one call of it a try would be slower than this (FIPS 180-4).
const solve = (nonce, difficulty) => {
  const roots = [];
  const start = [];
  const fraction = (root) => (root * 2 ** 32) | 0;
  for (let n = 2; roots.length < 64; n++) {
    let isPrime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) isPrime = false;
    if (!isPrime) continue;
    if (start.length < 8) start.push(fraction(Math.sqrt(n)));
    roots.push(fraction(Math.cbrt(n)));
  }

  const words = new Int32Array(64);
  const turn = (x, by) => (x >>> by) | (x << (32 - by));
  const compress = (state, bytes, at) => {
    for (let i = 0; i < 16; i++, at += 4) {
      words[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    }
    for (let i = 16; i < 64; i++) {
      const far = words[i - 15];
      const near = words[i - 2];
      words[i] =
        words[i - 16] + (turn(far, 7) ^ turn(far, 18) ^ (far >>> 3)) +
        words[i - 7] + (turn(near, 17) ^ turn(near, 19) ^ (near >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + roots[i] + words[i]) | 0;
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + two) | 0;
    }
    return [a, b, c, d, e, f, g, h].map((word, i) => (word + state[i]) | 0);
  };

  // What every try begins with is hashed once, as far as it fills whole blocks.
  const prefix = new TextEncoder().encode(nonce + ".");
  const whole = prefix.length - (prefix.length % 64);
  let begun = start;
  for (let at = 0; at < whole; at += 64) begun = compress(begun, prefix, at);
  const rest = prefix.subarray(whole);
  const tail = new Uint8Array(128);
  const first = (text) => {
    let length = rest.length;
    tail.fill(0).set(rest);
    for (let i = 0; i < text.length; i++) tail[length++] = text.charCodeAt(i);
    tail[length] = 0x80;
    const end = length < 56 ? 64 : 128;
    new DataView(tail.buffer).setUint32(end - 4, (whole + length) * 8);
    let state = compress(begun, tail, 0);
    if (end > 64) state = compress(state, tail, 64);
    return state[0];
  };

  // In slices, so that the page stays alive; a page that nobody looks at is woken once a second.
  return new Promise((resolve) => {
    let tried = 0;
    const slice = () => {
      const until = Date.now() + (document.hidden ? 500 : 16);
      while (Date.now() < until) {
        for (let i = 0; i < 64; i++, tried++) {
          if (Math.clz32(first(String(tried))) >= difficulty) return resolve(String(tried));
        }
      }
      setTimeout(slice);
    };
    slice();
  });
};
